package releasetest

import "github.com/onedigest/onedigest/internal/release"

// Running returns a release whose one Deployment wants pods and has the given ones. A pod with a digest reports that digest.
func Running(pods ...release.PodImage) release.Running {
	workload := release.RunningWorkload{Object: release.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}, WantsPods: true}
	for _, pod := range pods {
		if pod.ImageID == "" {
			pod.ImageID = pod.Digest.String()
		}
		workload.Pods = append(workload.Pods, pod)
	}
	return release.Running{Workloads: []release.RunningWorkload{workload}}
}
