package charts

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
)

// TestTheSchemaRefuses sets one wrong value at a time and checks that the error names its path. The suite of rules.yaml tests
// conflicts between keys.
func TestTheSchemaRefuses(t *testing.T) {
	t.Parallel()
	for given, path := range map[string]string{
		"unknown: 1":                  "'unknown'",
		"image: {tags: v1}":           "'tags'",
		"image: {digest: sha256:abc}": "'/image/digest'",
		"image: {digest: SHA256:" + strings.Repeat("A", 64) + "}":  "'/image/digest'",
		"image: {digest: sha512:" + strings.Repeat("a", 128) + "}": "'/image/digest'",
		"image: {digest: ''}":                                  "'/image/tag'",
		"image: {tag: a b}":                                    "'/image/tag'",
		"image: {repository: 'a@sha256:b'}":                    "'/image/repository'",
		"replicas: -1":                                         "'/replicas'",
		"replicas: two":                                        "'/replicas'",
		"autoscaling: {minReplicas: 0}":                        "'/autoscaling/minReplicas'",
		"autoscaling: {targetCPUUtilizationPercentage: 101}":   "'/autoscaling/targetCPUUtilizationPercentage'",
		"autoscaling: {targetMemoryUtilizationPercentage: -1}": "'/autoscaling/targetMemoryUtilizationPercentage'",
		"autoscaling: {behavior: {scaleDown: {stabilizationWindowSeconds: 3601}}}":                 "'/autoscaling/behavior/scaleDown/stabilizationWindowSeconds'",
		"autoscaling: {behavior: {scaleIn: {}}}":                                                   "'scaleIn'",
		"autoscaling: {metrics: [{type: Disk, pods: {}}]}":                                         "'/autoscaling/metrics/0/type'",
		"autoscaling: {metrics: [{type: Pods}]}":                                                   "'/autoscaling/metrics/0'",
		"autoscaling: {metrics: [{type: Pods, pods: {metric: {name: a}, target: {type: Value}}}]}": "'/autoscaling/metrics/0/pods/target'",
		"autoscaling: null":                                             "'autoscaling'",
		"service: {tls: null}":                                          "'tls'",
		"podDisruptionBudget: {minAvailable: 101%}":                     "'/podDisruptionBudget/minAvailable'",
		"podDisruptionBudget: {unhealthyPodEvictionPolicy: Never}":      "'/podDisruptionBudget/unhealthyPodEvictionPolicy'",
		"topologySpread: {zones: {maxSkew: 0}}":                         "'/topologySpread/zones/maxSkew'",
		"topologySpread: {nodes: {whenUnsatisfiable: Wait}}":            "'/topologySpread/nodes/whenUnsatisfiable'",
		"terminationGracePeriodSeconds: 0":                              "'/terminationGracePeriodSeconds'",
		"preStop: {sleep: {seconds: 0}}":                                "'/preStop/sleep/seconds'",
		"preStop: {sleep: {seconds: 1}, exec: {command: [a]}}":          "'/preStop'",
		"preStop: {exec: {command: []}}":                                "'/preStop/exec/command'",
		"containerPort: 80":                                             "'/containerPort'",
		"containerPort: 65536":                                          "'/containerPort'",
		"service: {type: NodePort}":                                     "'/service/type'",
		"service: {port: 0}":                                            "'/service/port'",
		"service: {scheme: public}":                                     "'/service/scheme'",
		"service: {targetType: pod}":                                    "'/service/targetType'",
		"service: {sourceRanges: [10.0.0.0]}":                           "'/service/sourceRanges/0'",
		"service: {sourceRanges: [10.0.0.0/33]}":                        "'/service/sourceRanges/0'",
		"service: {sourceRanges: [10.0.0.256/8]}":                       "'/service/sourceRanges/0'",
		"service: {sourceRanges: ['2001:db8::/129']}":                   "'/service/sourceRanges/0'",
		"service: {hostname: '*.example.com'}":                          "'/service/hostname'",
		"service: {hostname: shop}":                                     "'/service/hostname'",
		"service: {loadBalancerAttributes: {a: 'b,c=d'}}":               "'/service/loadBalancerAttributes/a'",
		"service: {tls: {port: 65536}}":                                 "'/service/tls/port'",
		"service: {tls: {policy: ELBSecurityPolicy-2016-08}}":           "'/service/tls/policy'",
		"service: {tls: {policy: ELBSecurityPolicy-TLS13-1-0-2021-06}}": "'/service/tls/policy'",
		"service: {tls: {certificateArns: ['arn:aws:iam::123456789012:server-certificate/a']}}": "'/service/tls/certificateArns/0'",
		"service: {tls: {certificateArns: ['arn:aws:acm:eu-central-1:12345:certificate/a']}}":   "'/service/tls/certificateArns/0'",
		"ingress: {hosts: [Shop.example.com]}":                                                  "'/ingress/hosts/0'",
		"ingress: {hosts: ['https://shop.example.com']}":                                        "'/ingress/hosts/0'",
		"ingress: {hosts: [a.example.com, a.example.com]}":                                      "'/ingress/hosts'",
		"ingress: {paths: []}":                                                        "'/ingress/paths'",
		"ingress: {paths: [{path: a, type: Prefix}]}":                                 "'/ingress/paths/0/path'",
		"ingress: {paths: [{path: /, type: PathPrefix}]}":                             "'/ingress/paths/0/type'",
		"ingress: {tls: [{secretName: a, hosts: []}]}":                                "'/ingress/tls/0/hosts'",
		"ingress: {className: ALB}":                                                   "'/ingress/className'",
		"networkPolicy: {fromCIDRs: [0.0.0.0]}":                                       "'/networkPolicy/fromCIDRs/0'",
		"networkPolicy: {from: [{}]}":                                                 "'/networkPolicy/from/0'",
		"networkPolicy: {from: [{ipBlock: {cidr: a}}]}":                               "'/networkPolicy/from/0/ipBlock/cidr'",
		"networkPolicy: {from: [{podSelector: {app: web}}]}":                          "'app'",
		"networkPolicy: {egress: {to: [{}]}}":                                         "'/networkPolicy/egress/to/0'",
		"config: {PORT: '1'}":                                                         "'/config/PORT'",
		"config: {A: 1}":                                                              "'/config/A'",
		"config: {a-b: c}":                                                            "'a-b'",
		"secret: {IMAGE_DIGEST: a}":                                                   "'/secret/IMAGE_DIGEST'",
		"existingSecrets: [{name: Shop}]":                                             "'/existingSecrets/0/name'",
		"existingSecrets: [{name: shop, optional: true}]":                             "'optional'",
		"secretFiles: {path: secrets}":                                                "'/secretFiles/path'",
		"externalSecret: {store: {kind: Vault}}":                                      "'/externalSecret/store/kind'",
		"externalSecret: {refreshInterval: hourly}":                                   "'/externalSecret/refreshInterval'",
		"externalSecret: {variables: {A: b}}":                                         "'/externalSecret/variables/A'",
		"externalSecret: {variables: {A: {property: b}}}":                             "'key'",
		"externalSecret: {variables: {PORT: {key: b}}}":                               "'/externalSecret/variables/PORT'",
		"extraEnv: [{name: A}]":                                                       "'/extraEnv/0'",
		"extraEnv: [{name: A, value: 1}]":                                             "'/extraEnv/0/value'",
		"extraEnvFrom: [{prefix: A}]":                                                 "'/extraEnvFrom/0'",
		"extraVolumes: [{name: a}]":                                                   "'/extraVolumes/0'",
		"extraVolumes: [{name: a, hostPath: {path: /}}]":                              "'hostPath'",
		"extraVolumeMounts: [{name: a, mountPath: b}]":                                "'/extraVolumeMounts/0/mountPath'",
		"extraContainers: [{name: a}]":                                                "'image'",
		"extraContainers: [{name: a, image: b, securityContext: {privileged: true}}]": "'/extraContainers/0/securityContext/privileged'",
		"extraContainers: [{name: a, image: b, securityContext: {runAsUser: 0}}]":     "'/extraContainers/0/securityContext/runAsUser'",
		"extraContainers: [{name: a, image: b, securityContext: {capabilities: {add: [NET_ADMIN]}}}]": "'/extraContainers/0/securityContext/capabilities/add/0'",
		"extraInitContainers: [{name: a, image: b, restartPolicy: Never}]":                            "'/extraInitContainers/0/restartPolicy'",
		"resources: {requests: {cpu: -1}}":                                                            "'/resources/requests/cpu'",
		"resources: {limits: {gpu: 1}}":                                                               "'gpu'",
		"probes: {readiness: {path: readyz}}":                                                         "'/probes/readiness/path'",
		"serviceAccount: {roleArn: 'arn:aws:iam::123456789012:user/a'}":                               "'/serviceAccount/roleArn'",
		"serviceAccount: {roleArn: 'arn:aws:iam::12345:role/a'}":                                      "'/serviceAccount/roleArn'",
		"rbac: {readers: [{kind: Robot, name: a}]}":                                                   "'/rbac/readers/0/kind'",
		"rbac: {readers: [{kind: User, name: ''}]}":                                                   "'/rbac/readers/0/name'",
		"monitoring: {port: 80}":                                                                      "'/monitoring/port'",
		"monitoring: {podMonitor: {path: metrics}}":                                                   "'/monitoring/podMonitor/path'",
		"monitoring: {podMonitor: {interval: 30}}":                                                    "'/monitoring/podMonitor/interval'",
		"config: {METRICS_PORT: '1'}":                                                                 "'/config/METRICS_PORT'",
		`monitoring: {rules: {route: 'GET "/'}}`:                                                      "'/monitoring/rules/route'",
		"monitoring: {rules: {failingPercent: 101}}":                                                  "'/monitoring/rules/failingPercent'",
		"monitoring: {rules: {slowSeconds: 0}}":                                                       "'/monitoring/rules/slowSeconds'",
		"monitoring: {rules: {objectivePercent: 100}}":                                                "'/monitoring/rules/objectivePercent'",
		"monitoring: {rules: {runbookURL: 'javascript:a'}}":                                           "'/monitoring/rules/runbookURL'",
		"monitoring: {dashboard: {labels: {a: 1}}}":                                                   "'/monitoring/dashboard/labels/a'",
		"migration: {args: []}":                                                                       "'/migration/args'",
		"migration: {args: migrate}":                                                                  "'/migration/args'",
		"migration: {timeoutSeconds: 0}":                                                              "'/migration/timeoutSeconds'",
		"podLabels: {app.kubernetes.io/name: a}":                                                      "'/podLabels/app.kubernetes.io~1name'",
		"tolerations: [{effect: Never}]":                                                              "'/tolerations/0/effect'",
		"priorityClassName: High":                                                                     "'/priorityClassName'",
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			wrong, err := chartutil.ReadValues([]byte(given))
			if err != nil {
				t.Fatal(err)
			}
			_, err = render("shop", "staging", chartutil.MergeTables(wrong, values(t, "", pinned...)))
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("want %s in %v", path, err)
			}
		})
	}
}

// TestGlobalValuesAreAccepted renders the chart as a subchart, which gets its parent's globals.
func TestGlobalValuesAreAccepted(t *testing.T) {
	t.Parallel()
	given := values(t, "", pinned...)
	given["global"] = map[string]any{"region": "eu-central-1"}
	if _, err := render("shop", "staging", given); err != nil {
		t.Error(err)
	}
}
