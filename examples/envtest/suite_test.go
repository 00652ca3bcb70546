// Package example is tested with controller-runtime's envtest, as any operator is. Nothing here knows of Kloster.
package example

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

var cluster client.Client

func TestMain(m *testing.M) {
	environment := &envtest.Environment{}
	if controllers := os.Getenv("CONTROLLERS"); controllers != "" {
		environment.ControlPlane.GetAPIServer().Configure().Append("kloster-controllers", controllers)
	}
	began := time.Now()
	config, err := environment.Start()
	if err != nil {
		panic(err)
	}
	fmt.Printf("the control plane is there after %d ms\n", time.Since(began).Milliseconds())
	if cluster, err = client.New(config, client.Options{}); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := environment.Stop(); err != nil {
		panic(err)
	}
	os.Exit(code)
}

func TestAnObjectIsThere(t *testing.T) {
	made := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "default"},
		Data:       map[string]string{"mode": "fast"},
	}
	if err := cluster.Create(context.Background(), made); err != nil {
		t.Fatal(err)
	}
	found := &corev1.ConfigMap{}
	if err := cluster.Get(context.Background(), client.ObjectKeyFromObject(made), found); err != nil {
		t.Fatal(err)
	}
	if found.UID != made.UID {
		t.Errorf("found %s, made %s", found.UID, made.UID)
	}
}

func TestANamespaceEnds(t *testing.T) {
	if os.Getenv("CONTROLLERS") == "" {
		t.Skip("namespaces end where a controller empties them")
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "short-lived"}}
	if err := cluster.Create(context.Background(), namespace); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Delete(context.Background(), namespace); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		err := cluster.Get(context.Background(), client.ObjectKeyFromObject(namespace), namespace)
		if apierrors.IsNotFound(err) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the namespace is still there")
}
