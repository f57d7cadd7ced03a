package causes

// releaseCauses is what keeps a release from being changed, or from being put back.
var releaseCauses = []Cause{
	{
		Code: FieldImmutable, Name: "a field cannot be changed",
		Meaning: "The chart changes a field that Kubernetes does not let anybody change: a Deployment's selector, a StatefulSet's volume claims, " +
			"a Job's template, a Service's clusterIP.",
		Advice: "put the field back, or delete the object that the message names and deploy again",
		Example: `OD-201 Deployment/shop in namespace "staging": spec.selector: field is immutable; put the field back, or delete the object ` +
			`that the message names and deploy again`,
		Steps: []string{
			"See the difference: `deploy --dry-run` shows every field that would change.",
			"A Job: give it a name that changes with the release, or make it a hook with `helm.sh/hook-delete-policy: before-hook-creation`.",
			"A Deployment's selector: keep the labels that it selects by out of what changes (chart version, environment).",
			"To replace a Deployment while its pods go on serving: `kubectl -n NAMESPACE delete deployment NAME --cascade=orphan`, then " +
				"deploy. The orphaned ReplicaSet is yours to remove.",
			"A StatefulSet: the same, with `statefulset`; its volumes and pods stay.",
		},
	},
	{
		Code: ObjectNotOurs, Name: "an object belongs to somebody else",
		Meaning: "The chart wants to create an object that is there already, made by hand or by another release. It is not taken over without " +
			"being told to.",
		Advice: "delete the object, rename it in the chart, or give it to this release",
		Example: `OD-202 ConfigMap/shop in namespace "staging" is there already and does not belong to release "shop"; delete the object, rename ` +
			`it in the chart, or give it to this release`,
		Steps: []string{
			"See whose it is: `kubectl -n NAMESPACE get KIND NAME -o yaml`, annotations `meta.helm.sh/release-name` and " +
				"`meta.helm.sh/release-namespace`.",
			"To give it to this release: label it `app.kubernetes.io/managed-by=Helm` and annotate it with `meta.helm.sh/release-name=RELEASE` " +
				"and `meta.helm.sh/release-namespace=NAMESPACE`.",
			"If two charts make the same object, name it after the release: `{{ .Release.Name }}`.",
		},
	},
	{
		Code: ReleaseHeld, Name: "another run holds the release",
		Meaning: "A run that is still alive is changing this release: its Lease is renewed. It was waited for, and did not end in time.",
		Advice:  "wait for that run to end, or cancel it; then deploy again",
		Example: `OD-203 release "shop" in namespace "staging" is held by run 4711 ` +
			`(https://github.com/onedigest-example/shop/actions/runs/4711), and was not released in time; wait for that run to end, or cancel ` +
			`it; then deploy again`,
		Steps: []string{
			"Open the run that the message names. A run that was killed gives its Lease up by itself, `lease-duration` after its last heartbeat.",
			"Let the workflow queue deploys instead of racing them: `concurrency: {group: deploy-ENVIRONMENT, cancel-in-progress: false}`.",
			"See the Lease itself: `kubectl -n NAMESPACE get lease -o yaml`.",
		},
	},
	{
		Code: ReleasePinned, Name: "the release is pinned",
		Meaning: "Somebody went back to an older commit deliberately (`allow-rollback`), and the release stays there until that is lifted, so " +
			"that the next merge does not bring the trouble back.",
		Advice: "deploy with --unpin when what was wrong is mended",
		Example: `refused: OD-204 release "shop" in namespace "production" is pinned at commit 4f2a91c since 2026-05-04T09:12:33Z by ` +
			`https://github.com/onedigest-example/shop/actions/runs/4711; deploy with --unpin when what was wrong is mended`,
		Steps: []string{
			"See who pinned it, and why: the message names the run.",
			"When the fix is merged: deploy it with `unpin: true`. The pin is lifted and the commit deployed in one go.",
		},
	},
	{
		Code: RollbackBlocked, Name: "a failure could not be undone",
		Meaning: "A warning before anything changes, and again when it comes to it: there is no verified revision to go back to, its image is " +
			"gone from the registry, a field cannot be changed back, or a hook of the chart goes one way only.",
		Advice: "go on only if you can mend a failure by going forward",
		Example: "OD-205 a failure could not be undone: its image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d… is gone from " +
			"the registry",
		Steps: []string{
			"No verified revision: the first deploy that becomes ready makes one. Until then there is nothing to go back to.",
			"The image is gone: keep what production ran in the registry's lifecycle policy; `build` of that commit makes the same digest again.",
			"A hook that goes one way (a migration): make the change in two deploys, first one that both the old and the new code can live with.",
		},
	},
	{
		Code: RollbackFailed, Name: "going back failed too",
		Meaning: "The deploy failed, and the rollback to the last verified revision did as well. Both errors are in the message, the deploy's " +
			"first. Pods of either revision may serve.",
		Advice: "see both errors; deploy a commit that is known to be good, or mend the cause and deploy again",
		Example: `OD-206 going back failed too: Deployment/shop in namespace "staging" cannot become ready: OD-101 Pod/shop-5d8c7b9f64-qm2xv ` +
			`container "app": ErrImagePull: … not found; see both errors; deploy a commit that is known to be good, or mend the cause and ` +
			`deploy again`,
		Steps: []string{
			"See what serves now: `kubectl -n NAMESPACE get pods -o wide` and `helm -n NAMESPACE history RELEASE`.",
			"If both failed for the same reason, it is not the commit: look at the cluster, the registry, the quota, the Secrets.",
			"Deploy again when it is mended: nothing has to be cleaned up first.",
		},
	},
	{
		Code: LeaseLost, Name: "the release was taken by another run",
		Meaning: "This run could not renew its Lease for so long that another took the release over. This run changes nothing more from there on.",
		Advice:  "see the run that has the release now; deploy again when it is done",
		Example: `OD-207 the Lease of release "shop" in namespace "staging" was taken by run 4712; this run had renewed it 31s before; see the ` +
			`run that has the release now; deploy again when it is done`,
		Steps: []string{
			"See whether the runner slept or lost the network, or whether the apiserver did not answer: the account tells.",
			"The other run finds what this one left and goes on from there.",
			"If the network is like that, raise `lease-duration`.",
		},
	},
	{
		Code: SmokeFailed, Name: "the release answers wrongly",
		Meaning: "The rollout became ready, and a smoke check that was asked for inside the deploy failed: the release goes back to the last " +
			"verified revision.",
		Advice:  "see which check failed and what was answered",
		Example: `OD-208 GET http://shop.example.com/configs: status 500, want 200; see which check failed and what was answered`,
		Steps: []string{
			"The message names the check, what was wanted and what came.",
			"Ask by hand: `smoke --url URL --checks FILE` runs the same checks and changes nothing.",
			"See the pods' log at that time: `kubectl -n NAMESPACE logs -l app.kubernetes.io/instance=RELEASE --since=10m`.",
		},
	},
}
