package causes

// Codes of what keeps a release from being changed or rolled back.
const (
	FieldImmutable   Code = "OD-201"
	ObjectNotOurs    Code = "OD-202"
	ReleaseHeld      Code = "OD-203" // by another run
	ReleasePinned    Code = "OD-204" // by a deliberate rollback
	RollbackBlocked  Code = "OD-205"
	RollbackFailed   Code = "OD-206"
	LeaseLost        Code = "OD-207"
	SmokeFailed      Code = "OD-208"
	AddressUnclear   Code = "OD-209"
	OrderUnknown     Code = "OD-213"
	CommitsLost      Code = "OD-214"
	RecordUnreadable Code = "OD-215"
	RecordElsewhere  Code = "OD-216"
	RecordTooLarge   Code = "OD-217"
	ObjectDeleting   Code = "OD-218"
)

var releaseCauses = []Cause{
	{
		Code: FieldImmutable, Name: "a field cannot be changed",
		Meaning: "The chart changes a field that Kubernetes does not allow to change: a Deployment's selector, a StatefulSet's volume claim " +
			"templates, a Job's template, a Service's clusterIP. A deploy asks the cluster before it runs hooks or applies anything, and changes nothing then, unless a " +
			"hook that runs before may delete the object: it says so, or its service account has the right to, by the chart or by what else the cluster says of it. " +
			"Objects that no revision has are asked about too, if the cluster has them as the release's (`meta.helm.sh/release-name`): Helm adopts them.",
		Advice: "put the field back, or delete the object that the message names and deploy again",
		Example: `OD-201 Deployment/shop in namespace "staging": spec.selector: field is immutable; put the field back, or delete the object ` +
			`that the message names and deploy again`,
		Steps: []string{
			"See the difference: `deploy --dry-run` shows every field that would change.",
			"A Job: give it a name that changes with the release, or make it a hook with `helm.sh/hook-delete-policy: before-hook-creation`.",
			"A Deployment's selector: select by labels that do not change (no chart version, no environment).",
			"To replace a Deployment while its pods keep serving: `kubectl -n NAMESPACE delete deployment NAME --cascade=orphan`, then " +
				"deploy. Delete the orphaned ReplicaSet yourself.",
			"A StatefulSet: the same, with `statefulset`; its volumes and pods stay.",
		},
	},
	{
		Code: ObjectNotOurs, Name: "an object is managed by another owner",
		Meaning: "The chart wants to create an object that exists already, made by hand or by another release. A deploy does not take over " +
			"such an object by itself.",
		Advice: "delete the object, rename it in the chart, or give it to this release",
		Example: `OD-202 ConfigMap/shop in namespace "staging" exists already and does not belong to release "shop"; delete the object, rename ` +
			`it in the chart, or give it to this release`,
		Steps: []string{
			"See who owns it: `kubectl -n NAMESPACE get KIND NAME -o yaml`, annotations `meta.helm.sh/release-name` and " +
				"`meta.helm.sh/release-namespace`.",
			"To give it to this release: label it `app.kubernetes.io/managed-by=Helm` and annotate it with `meta.helm.sh/release-name=RELEASE` " +
				"and `meta.helm.sh/release-namespace=NAMESPACE`.",
			"If two charts make the same object, name it after the release: `{{ .Release.Name }}`.",
		},
	},
	{
		Code: ReleaseHeld, Name: "another run holds the release",
		Meaning: "Another run is changing this release and keeps renewing its Lease. This run waited for it, and it did not finish in time.",
		Advice:  "wait for that run to end, or cancel it; then deploy again",
		Example: `OD-203 release "shop" in namespace "staging" is held by run 4711 ` +
			`(https://github.com/onedigest-example/shop/actions/runs/4711), and was not released in time; wait for that run to end, or cancel ` +
			`it; then deploy again`,
		Steps: []string{
			"Open the run that the message names. The Lease of a killed run expires by itself, `lease-duration` after its last heartbeat.",
			"In jobs of your own, let the workflow queue deploys: `concurrency: {group: deploy-ENVIRONMENT, cancel-in-progress: false}`. Not in a workflow that calls `pipeline.yaml`: its jobs queue by themselves.",
			"See the Lease itself: `kubectl -n NAMESPACE get lease -o yaml`.",
		},
	},
	{
		Code: ReleasePinned, Name: "the release is pinned",
		Meaning: "Somebody deployed an older commit deliberately (`allow-rollback`). The release stays at it until the pin is removed, so that " +
			"the next merge does not bring the problem back.",
		Advice: "deploy with --unpin once the problem is fixed",
		Example: `refused: OD-204 release "shop" in namespace "production" is pinned at commit 4f2a91c since 2026-05-04T09:12:33Z by ` +
			`https://github.com/onedigest-example/shop/actions/runs/4711; deploy with --unpin once the problem is fixed`,
		Steps: []string{
			"See who pinned it, and why: the message names the run.",
			"Once the fix is merged, deploy it with `unpin: true`, such as by the workflow `promote.yaml` that `init` writes: that removes the pin and deploys the commit ([production is broken](workflow.md#production-is-broken)).",
		},
	},
	{
		Code: RollbackBlocked, Name: "a failed rollout cannot be rolled back",
		Meaning: "`deploy` warns of this before it changes anything, and says it again if the rollout fails. The reasons: there is no verified revision, its image is no longer in " +
			"the registry, a field cannot be changed back, only the newer revision has a NetworkPolicy, or a hook of the chart is forward-only. An image that is gone, and a forward-only hook that " +
			"has run, forbid the rollback: the release stays as it is.",
		Advice: "continue only if you can fix a failure by rolling forward",
		Example: "OD-205 a failed rollout could not be rolled back: its image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop@sha256:9c1d… is no " +
			"longer in the registry",
		Steps: []string{
			"No verified revision: the first deploy that becomes ready makes one, unless its smoke fails or no pod runs its main image. Until then there is nothing to roll back to.",
			"The image is no longer there: let the registry's lifecycle policy keep what production ran. `build` of that commit makes the same " +
				"digest again.",
			"A forward-only hook (a migration): make the change in two deploys, first one that both the old and the new code can work with. If the hook has " +
				"run, deploy a commit that works with what it has changed; `allow-rollback` deploys an older one anyway.",
			"A NetworkPolicy that only the newer revision has: the rollback removes it, and a default-deny of the namespace stays, which blocks all traffic to the pods. " +
				"`kubectl -n NAMESPACE get networkpolicy` shows whether there is one (`default-deny-ingress` of `terraform/modules/service`). " +
				"Set `default_deny = false` and apply, before or after the rollback, until a deploy with `networkPolicy` has passed smoke.",
		},
	},
	{
		Code: RollbackFailed, Name: "the rollback failed too",
		Meaning: "The deploy failed, and so did the rollback to the last verified revision. The message holds both errors, the deploy's " +
			"first. Pods of either revision may be serving.",
		Advice: "see both errors; deploy a commit that is known to be good, or fix the cause and deploy again",
		Example: `OD-206 the rollback failed too: Deployment/shop in namespace "staging" cannot become ready: OD-101 Pod/shop-5d8c7b9f64-qm2xv ` +
			`container "app": ErrImagePull: … not found; see both errors; deploy a commit that is known to be good, or fix the cause and ` +
			`deploy again`,
		Steps: []string{
			"See what is serving now: `kubectl -n NAMESPACE get pods -o wide` and `helm -n NAMESPACE history RELEASE`.",
			"If both failed for the same reason, the commit is not the cause: check the cluster, the registry, the quota and the Secrets.",
			"Deploy again once it is fixed. Broken pods of a StatefulSet that block the next revision are replaced by the deploy itself; if the log says that " +
				"one may not be deleted, delete it first: `kubectl -n NAMESPACE delete pod POD`.",
		},
	},
	{
		Code: LeaseLost, Name: "another run took the release over",
		Meaning: "This run could not renew its Lease in time, and another run took the release over. This run stopped changing anything.",
		Advice:  "see the run that has the release now; deploy again when it is done",
		Example: `OD-207 the Lease of release "shop" in namespace "staging" was taken by run 4712; this run had renewed it 31s before; see the ` +
			`run that has the release now; deploy again when it is done`,
		Steps: []string{
			"See in the log whether the runner was suspended, lost the network, or got no answer from the API server.",
			"The other run continues from the state that this one left.",
			"If the network is often interrupted for that long, raise `lease-duration`.",
		},
	},
	{
		Code: SmokeFailed, Name: "the release gives wrong answers",
		Meaning: "The rollout became ready, but a smoke check of the deploy (`smoke-checks`) failed. The release is rolled back to the last " +
			"verified revision.",
		Advice:  "see which check failed and what was answered",
		Example: `OD-208 GET http://shop.example.com/configs: status 500, want 200; see which check failed and what was answered`,
		Steps: []string{
			"The message names the check, what was expected and what was answered.",
			"Check `pods`: a workload has no ready pod, or its pod ends again and again, though another workload of the same image may serve.",
			"Check `ready`: a pod stopped being ready, or restarted, during the rounds.",
			"Check `endpoints`: a Service selects no pod, or another release's pods. Compare its `selector` with the labels of the pods.",
			"\"the server speaks HTTP/2 without TLS (h2c)\": this check is sent in HTTP/1.1, which the server does not speak. Give it `http2: true` ([checks.md](checks.md#the-request)).",
			"Run the same checks by hand: `smoke --url URL --checks FILE` changes nothing.",
			"See the pods' log at that time: `kubectl -n NAMESPACE logs -l app.kubernetes.io/instance=RELEASE --since=10m`.",
			"The failure keeps the image out of an environment that asks for a proof. If the image was not at fault, [lift it](workflow.md#after-a-failed-smoke).",
		},
	},
	{
		Code: AddressUnclear, Name: "the release's address is ambiguous",
		Meaning: "The chart renders several load balancers or several Ingresses, none has the release's name, and either none or several lead to pods of its main image. Nothing was changed.",
		Advice:  "name the one to use with --address, or give the URL itself, or none",
		Example: `OD-209 the release has 2 addresses, none is named as the release, and 2 of them lead to pods of its main image: service/shop-admin, ` +
			`service/shop-web; name the one to use with --address, or give the URL itself, or none`,
		Steps: []string{
			"`address: service/NAME` or `address: ingress/NAME` names the object whose address is the release's.",
			"`address: https://…` says where the release is served, and nothing waits for an object's address.",
			"`address: none` says that it is not served outside the cluster: the deploy is verified by its rollout.",
		},
	},
	{
		Code: OrderUnknown, Name: "the order of the commits is unknown",
		Meaning: "The release runs another commit, and neither the checkout's history, nor its remote, nor GitHub shows whether the new commit " +
			"descends from it. A deploy of an older commit would take changes away that are live, so it is refused.",
		Advice: "check out the full history (fetch-depth: 0), or give --allow-diverged to deploy without knowing",
		Example: `refused: OD-213 cannot determine whether commit 4f2a91c0d3e5 is newer than 9b1c44e07a21, which release "shop" in namespace ` +
			`"production" runs: fetching the history from remote "origin": fatal: could not read Username for 'https://github.com': terminal prompts ` +
			`disabled; check out the full history (fetch-depth: 0), or give --allow-diverged to deploy without knowing`,
		Steps: []string{
			"Check out with `fetch-depth: 0`. A shallow checkout is enough where the deploy can ask for the rest: by the credentials that the " +
				"checkout keeps (`persist-credentials`), or by GitHub's API (`permissions: {contents: read}`, input `github-token`).",
			"\"is not in the repository … nor in its remote\": the branch was deleted or rewritten, or the image was built from another repository. See " +
				"what it was (`git log COMMIT` in a clone that has it), then decide.",
			"\"the image names no commit\": build it with the label `org.opencontainers.image.revision`, or give `--commit`.",
			"\"the registry did not say whether the image is that commit's too\": chart and values are of a later commit, and only the image's tag of that commit tells that they belong together. Run again.",
			"To deploy without knowing: `allow-diverged: true`. To go back to an older commit and stay there: `allow-rollback: true`.",
		},
	},
	{
		Code: CommitsLost, Name: "commits that are live would be lost",
		Meaning: "The release runs a commit that the new one does not descend from, for instance a hotfix that was deployed from its branch and is not " +
			"merged yet. The message names the commits that would be lost.",
		Advice: "merge these commits first, or give --allow-diverged to deploy without them",
		Example: `refused: OD-214 release "shop" in namespace "production" runs commit 9b1c44e07a21, and commit 4f2a91c0d3e5 does not descend from it: ` +
			`1 commit would be lost (9b1c44e07a21 Round prices up); merge these commits first, or give --allow-diverged to deploy without them`,
		Steps: []string{
			"Merge the branch that the live commit is on, build, and deploy the merge.",
			"If the same change was merged as another commit (a squash, a rebase, a cherry-pick), nothing is lost: `allow-diverged: true` for this one deploy.",
			"If the live commit should be discarded: `allow-diverged: true`; with `allow-rollback: true` as well the release is pinned at the new one.",
		},
	},
	{
		Code: RecordUnreadable, Name: "a release record cannot be read",
		Meaning: "Helm keeps every revision of a release in a Secret, and the content of one is not a revision: it was edited, restored in part, or " +
			"copied. A superseded one is skipped with a warning. Without the newest one, or the deployed one, it is unknown what is live, so " +
			"nothing is changed.",
		Advice: "restore the Secret from a backup, or delete it to continue from the revision before",
		Example: `OD-215 Secret "sh.helm.release.v1.shop.v7" in namespace "staging", which the release needs, cannot be read (illegal base64 data at ` +
			`input byte 4); kubectl -n staging delete secret sh.helm.release.v1.shop.v7 deletes it; restore the Secret from a backup, or delete it to ` +
			`continue from the revision before`,
		Steps: []string{
			"See which revisions there are: `kubectl -n NAMESPACE get secrets -l owner=helm,name=RELEASE --show-labels`.",
			"A superseded one: delete it, nothing else needs it.",
			"The newest one: with a backup, restore its Secret. Without one, delete it; the next deploy compares with the revision before, and what only the " +
				"deleted revision had stays in the namespace.",
		},
	},
	{
		Code: RecordElsewhere, Name: "the release is recorded elsewhere",
		Meaning: "The release was installed by a Helm that keeps its records in ConfigMaps (`HELM_DRIVER=configmap`). A deploy keeps them in Secrets, where " +
			"Helm's default is: it would see no history and install over what is there.",
		Advice: "move the records to Secrets, or give another release name",
		Example: `OD-216 release "shop" in namespace "staging" is recorded in ConfigMaps (sh.helm.release.v1.shop.v4), not in Secrets; move the records to ` +
			`Secrets, or give another release name`,
		Steps: []string{
			"Move each record: a Secret of type `helm.sh/release.v1` with the same name, labels and `data.release` (in a Secret the value is base64-encoded once more), then delete the ConfigMap.",
			"If the release should stay with that Helm, give this one another name (`release`).",
		},
	},
	{
		Code: RecordTooLarge, Name: "the release does not fit into Helm's record",
		Meaning: "Helm records each revision, with the chart's files and the rendered manifest, in one Secret, and a Secret holds at most 1 MiB. This " +
			"release would not fit. Nothing was changed.",
		Advice: "exclude files that the chart does not need (.helmignore), or move large ones out of the chart",
		Example: `chart: OD-217 Helm's record of the release would have 1613412 bytes, and a Secret holds at most 1048576; the largest parts, before they are ` +
			`compressed: files/geo.bin (1200000 bytes), the rendered manifest (2211 bytes), templates/all.yaml (914 bytes); exclude files that the chart does ` +
			`not need (.helmignore), or move large ones out of the chart`,
		Steps: []string{
			"The message names the largest parts. Archives, images and test data can usually be excluded: list them in the chart's `.helmignore`.",
			"A file that the pods need belongs in the image or in a volume. A ConfigMap has the same limit of 1 MiB.",
			"If the rendered manifest is the largest part (dashboards, definitions), deploy that part as a chart of its own; definitions belong in `crds/`.",
		},
	},
	{
		Code: ObjectDeleting, Name: "an object's deletion does not finish",
		Meaning: "An object of the release, or a hook that has to run again, is being deleted, and cannot be applied until it is gone. The cluster keeps it until " +
			"each of its finalizers has been removed by the controller that set it. The deploy waits, says what it waits for after five seconds, and " +
			"gives up when two minutes pass without a finalizer being removed. Nothing is rolled back, because a rollback would have to wait for the same deletion.",
		Advice: "see which controller has to remove the finalizers, and why it does not",
		Example: `OD-218 ConfigMap/shop in namespace "staging" is being deleted, and is kept by its finalizers (example.com/cleanup); see which controller ` +
			`has to remove the finalizers, and why it does not`,
		Steps: []string{
			"See the finalizers and since when it is being deleted: `kubectl -n NAMESPACE get KIND NAME -o jsonpath='{.metadata.deletionTimestamp} {.metadata.finalizers}'`.",
			"Find the controller by the finalizer's domain, and read its log: it may be uninstalled, or fail at what it has to clean up.",
			"`foregroundDeletion`: the object waits for those that it owns, such as pods with a long grace period.",
			"If the controller is gone for good, clean up by hand what it would have, and remove its finalizer: " +
				"`kubectl -n NAMESPACE patch KIND NAME --type=merge -p '{\"metadata\":{\"finalizers\":null}}'`.",
		},
	},
}
