// Command manager is an ordinary controller-runtime manager: a cache, leader election, a finalizer, owned objects and a
// status with conditions, for the custom resource Website. Built-in kinds go over protobuf, as controller-runtime does
// by default. What it does is printed as one JSON object a line; it ends when its standard input does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "clients.kloster.dev/farewell"

var output sync.Mutex

func say(event string, pairs ...any) {
	line := map[string]any{"event": event}
	for i := 0; i+1 < len(pairs); i += 2 {
		line[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

func fatal(err error) {
	say("failed", "error", err.Error())
	os.Exit(1)
}

func main() {
	kubeconfig := flag.String("kube", "", "kubeconfig of the cluster")
	namespace := flag.String("namespace", "default", "namespace to watch")
	flag.Parse()
	ctrl.SetLogger(klog.Background())

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		fatal(err)
	}
	addToScheme(scheme)
	lease, renew, period := 6*time.Second, 4*time.Second, time.Second
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache:          cache.Options{DefaultNamespaces: map[string]cache.Config{*namespace: {}}},
		LeaderElection: true, LeaderElectionID: "manager.clients.kloster.dev", LeaderElectionNamespace: *namespace,
		LeaderElectionReleaseOnCancel: true, LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &period,
	})
	if err != nil {
		fatal(err)
	}
	reconciler := &websites{Client: manager.GetClient(), events: manager.GetEventRecorderFor("websites")}
	err = ctrl.NewControllerManagedBy(manager).
		For(&Website{}).Owns(&appsv1.Deployment{}).Owns(&corev1.ConfigMap{}).Owns(&corev1.Service{}).Complete(reconciler)
	if err != nil {
		fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go func() {
		<-manager.Elected()
		say("elected")
	}()
	if err := manager.Start(ctx); err != nil {
		fatal(err)
	}
	say("stopped")
}

type websites struct {
	client.Client
	events record.EventRecorder
}

// Reconcile brings a website's page, deployment and service into being and reports what is ready.
func (r *websites) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	site := &Website{}
	if err := r.Get(ctx, request.NamespacedName, site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		if controllerutil.RemoveFinalizer(site, finalizer) {
			say("farewell", "name", site.Name)
			return ctrl.Result{}, r.Update(ctx, site)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(site, finalizer) {
		return ctrl.Result{}, r.Update(ctx, site)
	}
	deployment, err := r.ensure(ctx, site)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.report(ctx, site, deployment)
}

func (r *websites) ensure(ctx context.Context, site *Website) (*appsv1.Deployment, error) {
	labels := map[string]string{"website": site.Name}
	place := metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}
	page := &corev1.ConfigMap{ObjectMeta: place}
	done, err := controllerutil.CreateOrUpdate(ctx, r.Client, page, func() error {
		page.Data = map[string]string{"index.html": site.Spec.Page}
		return controllerutil.SetControllerReference(site, page, r.Scheme())
	})
	if err != nil {
		return nil, err
	}
	r.tell(site, "ConfigMap", done)
	deployment := &appsv1.Deployment{ObjectMeta: place}
	done, err = controllerutil.CreateOrUpdate(ctx, r.Client, deployment, func() error {
		replicas := site.Spec.Replicas
		deployment.Spec.Replicas = &replicas
		deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		deployment.Spec.Template.Labels = labels
		if len(deployment.Spec.Template.Spec.Containers) == 0 {
			deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
		}
		return controllerutil.SetControllerReference(site, deployment, r.Scheme())
	})
	if err != nil {
		return nil, err
	}
	r.tell(site, "Deployment", done)
	service := &corev1.Service{ObjectMeta: place}
	done, err = controllerutil.CreateOrUpdate(ctx, r.Client, service, func() error {
		service.Spec.Selector = labels
		if len(service.Spec.Ports) == 0 {
			service.Spec.Ports = []corev1.ServicePort{{Port: 80}}
		}
		return controllerutil.SetControllerReference(site, service, r.Scheme())
	})
	if err != nil {
		return nil, err
	}
	r.tell(site, "Service", done)
	return deployment, nil
}

func (r *websites) tell(site *Website, kind string, done controllerutil.OperationResult) {
	if done == controllerutil.OperationResultNone {
		return
	}
	say(string(done), "kind", kind, "name", site.Name)
	r.events.Eventf(site, corev1.EventTypeNormal, "Ensured", "%s %s", kind, done)
}

func (r *websites) report(ctx context.Context, site *Website, deployment *appsv1.Deployment) error {
	before := site.DeepCopyObject().(*Website)
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Waiting", ObservedGeneration: site.Generation}
	if deployment.Status.ReadyReplicas == site.Spec.Replicas {
		ready.Status, ready.Reason = metav1.ConditionTrue, "AllReady"
	}
	ready.Message = fmt.Sprintf("%d of %d", deployment.Status.ReadyReplicas, site.Spec.Replicas)
	meta.SetStatusCondition(&site.Status.Conditions, ready)
	site.Status.ObservedGeneration, site.Status.ReadyReplicas = site.Generation, deployment.Status.ReadyReplicas
	if err := r.Status().Patch(ctx, site, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	say("reported", "name", site.Name, "ready", string(ready.Status), "generation", site.Generation)
	return nil
}
