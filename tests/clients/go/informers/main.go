// Command informers is an ordinary client-go program: shared informers over protobuf, a work queue, writes through the
// typed client and leader election on a Lease. What happens to it is printed as one JSON object a line, so that a test
// can follow it; it ends when its standard input does.
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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

// wanted is the annotation by which a deployment asks this program for a number of replicas.
const wanted = "clients.kloster.dev/replicas"

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

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the cluster")
	namespace := flag.String("namespace", "default", "namespace to watch")
	identity := flag.String("identity", "", "identity in the leader election; empty: no election")
	content := flag.String("content-type", "application/vnd.kubernetes.protobuf", "what is sent and preferred")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fatal(err)
	}
	config.ContentType = *content
	config.AcceptContentTypes = *content + ",application/json"
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		fatal(err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		fatal(err)
	}
	say("connected", "version", version.GitVersion)

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if *identity == "" {
		work(ctx, client, *namespace)
	} else {
		elect(ctx, client, *namespace, *identity)
	}
	say("stopped")
}

func fatal(err error) {
	say("failed", "error", err.Error())
	os.Exit(1)
}

// work runs the informers and one worker until ctx ends.
func work(ctx context.Context, client kubernetes.Interface, namespace string) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	deployments := factory.Apps().V1().Deployments()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	watched := map[string]cache.SharedIndexInformer{
		"Deployment": deployments.Informer(),
		"ReplicaSet": factory.Apps().V1().ReplicaSets().Informer(),
		"Pod":        factory.Core().V1().Pods().Informer(),
		"ConfigMap":  factory.Core().V1().ConfigMaps().Informer(),
		"Secret":     factory.Core().V1().Secrets().Informer(),
		"Service":    factory.Core().V1().Services().Informer(),
		"Job":        factory.Batch().V1().Jobs().Informer(),
	}
	for kind, informer := range watched {
		follow(kind, informer)
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			queue.Add(key)
		}
	}
	_, err := deployments.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: enqueue,
	})
	if err != nil {
		fatal(err)
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			fatal(fmt.Errorf("the cache of %v did not fill", kind))
		}
	}
	say("synced")
	go func() {
		<-ctx.Done()
		queue.ShutDown()
	}()
	for next(ctx, client, deployments.Lister(), queue) {
	}
	factory.Shutdown()
}

// follow prints what the informer of a kind reports.
func follow(kind string, informer cache.SharedIndexInformer) {
	report := func(event string) func(any) {
		return func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			accessor, err := meta.Accessor(object)
			if err != nil {
				fatal(err)
			}
			say(event, "kind", kind, "name", accessor.GetName(), "labels", accessor.GetLabels(),
				"generation", accessor.GetGeneration(), "resourceVersion", accessor.GetResourceVersion())
		}
	}
	added, updated, deleted := report("add"), report("update"), report("delete")
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    added,
		UpdateFunc: func(_, object any) { updated(object) },
		DeleteFunc: deleted,
	})
	if err != nil {
		fatal(err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		say("watch-error", "kind", kind, "expired", apierrors.IsResourceExpired(err) || apierrors.IsGone(err), "error", err.Error())
	}); err != nil {
		fatal(err)
	}
}

// next takes one deployment from the queue and gives it the replicas that it asks for. Returns false at the end.
func next(
	ctx context.Context, client kubernetes.Interface, lister appslisters.DeploymentLister,
	queue workqueue.TypedRateLimitingInterface[string],
) bool {
	key, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(key)
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		fatal(err)
	}
	cached, err := lister.Deployments(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		queue.Forget(key)
		return true
	}
	if err != nil {
		fatal(err)
	}
	if err := scale(ctx, client, cached); err != nil && ctx.Err() == nil {
		say("retry", "name", name, "error", err.Error(), "conflict", apierrors.IsConflict(err))
		queue.AddRateLimited(key)
		return true
	}
	queue.Forget(key)
	return true
}

func scale(ctx context.Context, client kubernetes.Interface, cached *appsv1.Deployment) error {
	var replicas int32
	if _, err := fmt.Sscanf(cached.Annotations[wanted], "%d", &replicas); err != nil {
		return nil
	}
	if cached.Spec.Replicas != nil && *cached.Spec.Replicas == replicas {
		return nil
	}
	deployments := client.AppsV1().Deployments(cached.Namespace)
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := deployments.Get(ctx, cached.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		live.Spec.Replicas = &replicas
		stored, err := deployments.Update(ctx, live, metav1.UpdateOptions{FieldManager: "informers"})
		if err != nil {
			return err
		}
		say("scaled", "name", stored.Name, "replicas", *stored.Spec.Replicas, "generation", stored.Generation)
		return nil
	})
}

// elect runs work while this process holds the Lease "informers".
func elect(ctx context.Context, client kubernetes.Interface, namespace, identity string) {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "informers"},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 500 * time.Millisecond,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { say("leading", "identity", identity); work(ctx, client, namespace) },
			OnStoppedLeading: func() { say("not-leading", "identity", identity) },
			OnNewLeader:      func(leader string) { say("leader", "identity", leader) },
		},
	})
}
