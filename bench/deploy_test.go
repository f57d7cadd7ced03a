package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/onedigest/onedigest/internal/app"
	appdeploy "github.com/onedigest/onedigest/internal/app/deploy"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// BenchmarkDeployLatency is the time from the moment the cluster reports a rollout complete to the moment the tool reports it,
// for rolling updates of one release of two replicas: ours, and `helm upgrade --install --wait`, in turn. Goal: our
// median at most 0.2 of Helm's. It needs a cluster with the sample app's image in reach: scripts/bench.sh gives both.
func BenchmarkDeployLatency(b *testing.B) {
	image, helm := os.Getenv("ONEDIGEST_BENCH_IMAGE"), os.Getenv("ONEDIGEST_BENCH_HELM")
	if image == "" || helm == "" {
		b.Skip("NOT MEASURED: needs a cluster, an image and helm; run scripts/bench.sh")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		b.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	root := ".."
	chart, values := "charts/service", "terraform/staging/values-staging.yaml"
	ours := func(i int) error {
		var stderr bytes.Buffer
		code := appdeploy.Command().Run(b.Context(), app.Process{Dir: absolute(b, root), Environ: os.Environ(), Stdout: io.Discard, Stderr: &stderr, Now: time.Now,
			Args: []string{"--environment", "bench-ours", "--release", "shop", "--image", image, "--create-namespace", "--chart", chart, "--values", values,
				"--set", "config.ENVIRONMENT=bench", "--set", fmt.Sprintf("config.GREETING=ours-%d", i)}})
		if code != 0 {
			return fmt.Errorf("exit %d: %s", code, stderr.String())
		}
		return nil
	}
	repository, digest, _ := bytes.Cut([]byte(image), []byte("@"))
	theirs := func(i int) error {
		command := exec.CommandContext(b.Context(), helm, "upgrade", "--install", "--wait", "--create-namespace", "--namespace", "bench-helm", "shop", chart,
			"--values", values, "--set-string", "config.ENVIRONMENT=bench", "--set-string", fmt.Sprintf("config.GREETING=helm-%d", i),
			"--set-string", "image.repository="+string(repository), "--set-string", "image.digest="+string(digest))
		command.Dir = root
		if text, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	}
	var lags [2][]float64
	for i := range b.N + 1 {
		for which, tool := range []struct {
			namespace string
			run       func(int) error
		}{{"bench-ours", ours}, {"bench-helm", theirs}} {
			ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
			complete := completion(ctx, client, tool.namespace)
			if err := tool.run(i); err != nil {
				b.Fatal(err)
			}
			returned := time.Now()
			cancel()
			if i > 0 { // the first is an installation, with a pull
				turned := <-complete
				if turned.IsZero() {
					b.Fatal("the rollout was not seen to become complete")
				}
				lags[which] = append(lags[which], float64(returned.Sub(turned).Milliseconds()))
			}
		}
	}
	mine, helms := median(lags[0]), median(lags[1])
	b.ReportMetric(mine, "ms-after-ready(onedigest)")
	b.ReportMetric(helms, "ms-after-ready(helm)")
	b.ReportMetric(mine/helms, "ratio")
	b.ReportMetric(lags[0][(len(lags[0])*95+99)/100-1], "ms-after-ready-p95(onedigest)")
}

func absolute(b *testing.B, path string) string {
	b.Helper()
	directory, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	return directory + "/" + path
}

// completion gives, when ctx ends, the last moment at which the namespace's Deployment turned complete.
func completion(ctx context.Context, client kubernetes.Interface, namespace string) <-chan time.Time {
	result := make(chan time.Time, 1)
	watch, err := client.AppsV1().Deployments(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		result <- time.Time{}
		return result
	}
	go func() {
		var turned time.Time
		complete := false
		for event := range watch.ResultChan() {
			deployment, ok := event.Object.(*appsv1.Deployment)
			if !ok {
				continue
			}
			status, wanted := deployment.Status, int32(1)
			if deployment.Spec.Replicas != nil {
				wanted = *deployment.Spec.Replicas
			}
			now := status.ObservedGeneration >= deployment.Generation && status.UpdatedReplicas == wanted && status.Replicas == wanted && status.AvailableReplicas == wanted
			if now && !complete {
				turned = time.Now()
			}
			complete = now
		}
		result <- turned
	}()
	return result
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
