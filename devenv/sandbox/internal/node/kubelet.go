package node

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	loginapi "k8s.io/kubelet/config/v1"
	kubeletapi "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/onedigest/onedigest/devenv/sandbox/internal/place"
)

// writeKubelet writes the kubelet's configuration.
func writeKubelet(dir place.Dir, cgroup string) error {
	off, on, none, all := false, true, int32(0), int32(100)
	config := kubeletapi.KubeletConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "kubelet.config.k8s.io/v1beta1", Kind: "KubeletConfiguration"},
		Authentication: kubeletapi.KubeletAuthentication{
			Anonymous: kubeletapi.KubeletAnonymousAuthentication{Enabled: &off},
			Webhook:   kubeletapi.KubeletWebhookAuthentication{Enabled: &on},
			X509:      kubeletapi.KubeletX509Authentication{ClientCAFile: dir.Certificate("ca")},
		},
		Authorization:            kubeletapi.KubeletAuthorization{Mode: kubeletapi.KubeletAuthorizationModeWebhook},
		Address:                  Address,
		HealthzBindAddress:       Inside,
		TLSCertFile:              dir.Certificate("kubelet"),
		TLSPrivateKeyFile:        dir.Key("kubelet"),
		ContainerRuntimeEndpoint: "unix://" + dir.Containerd(),
		ClusterDNS:               []string{Resolver},
		ClusterDomain:            Domain,
		ResolverConfig:           text(dir.In("etc", "resolv.conf")),
		PodLogsDir:               dir.In("pods"),
		VolumePluginDir:          dir.In("kubelet", "volumeplugins"),

		// A machine with cgroup v1, with swap, or on which nobody may lower an OOM score is good enough for a sandbox.
		CgroupDriver:           "cgroupfs",
		CgroupRoot:             cgroup,
		FailCgroupV1:           &off,
		FailSwapOn:             &off,
		EnforceNodeAllocatable: []string{"none"},
		OOMScoreAdj:            &none,
		MakeIPTablesUtilChains: &off,

		// On a nearly full disk no pod is evicted and no image is collected, because the pause image could not be pulled again.
		EvictionHard:                map[string]string{"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
		ImageGCHighThresholdPercent: &all,

		// The limits that protect a large cluster's API server and registries only slow down a small one.
		RegistryPullQPS:     &none,
		SerializeImagePulls: &off,
		EventRecordQPS:      &none,
		KubeAPIQPS:          &all,
		KubeAPIBurst:        200,
		ConfigMapAndSecretChangeDetectionStrategy: kubeletapi.WatchChangeDetectionStrategy,
	}
	content, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return writeAll(map[string][]byte{dir.In("etc", "kubelet.yaml"): content})
}

// WriteLogin configures the login helper as the kubelet's credential provider for these registries
// (kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider), as EKS does with ecr-credential-provider. The endpoint
// is a fake on this machine, and the keys are valid for it only.
func WriteLogin(dir place.Dir, settings place.Settings) error {
	config := loginapi.CredentialProviderConfig{
		TypeMeta: metav1.TypeMeta{APIVersion: "kubelet.config.k8s.io/v1", Kind: "CredentialProviderConfig"},
		Providers: []loginapi.CredentialProvider{{
			Name:                 "ecrlogin",
			APIVersion:           "credentialprovider.kubelet.k8s.io/v1",
			MatchImages:          settings.Registries,
			DefaultCacheDuration: &metav1.Duration{Duration: time.Minute},
			Env: []loginapi.ExecEnvVar{
				{Name: "AWS_ENDPOINT_URL_ECR", Value: "http://" + LoginAddress},
				{Name: "AWS_REGION", Value: settings.Login.Region},
				{Name: "AWS_ACCESS_KEY_ID", Value: settings.Login.AccessKeyID},
				{Name: "AWS_SECRET_ACCESS_KEY", Value: settings.Login.SecretAccessKey},
			},
		}},
	}
	if len(settings.Registries) == 0 || settings.Login.Endpoint == "" {
		// The kubelet requires at least one pattern; an image of this name cannot exist (RFC 2606).
		config.Providers[0].MatchImages = []string{"sandbox.invalid"}
	}
	content, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return writeAll(map[string][]byte{dir.In("etc", "login.yaml"): content})
}

func text(s string) *string { return &s }
