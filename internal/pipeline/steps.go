package pipeline

import (
	"strings"

	"github.com/onedigest/onedigest/internal/build"
	"github.com/onedigest/onedigest/internal/deploy"
	"github.com/onedigest/onedigest/internal/promote"
	"github.com/onedigest/onedigest/internal/release"
	"github.com/onedigest/onedigest/internal/setting"
	"github.com/onedigest/onedigest/internal/smoke"
)

// The settings of a step are the defaults of its verb, overridden by the settings of the pipeline.

// buildSettings returns the settings of the build step.
func (s Settings) buildSettings() (settings build.Settings, err error) {
	err = settings.Declare().ApplyDefaults(func() {
		settings.Repository, settings.Context, settings.Builder, settings.Commit = s.Repository, s.Context, s.Builder, s.Commit
		settings.Platforms = []release.Platform{s.Platform}
		settings.Tags, settings.WithoutCgo, settings.PlainHTTP = s.Tags, s.WithoutCgo, s.PlainHTTP
		settings.SignKey, settings.LegacySignatures = s.SignKey, s.LegacySignatures
	})
	return settings, err
}

func (s Settings) promoteSettings(environment release.Environment, image release.Image) (settings promote.Settings, err error) {
	err = settings.Declare().ApplyDefaults(func() {
		settings.Image, settings.Further, settings.To, settings.VerifyKeys, settings.PlainHTTP = image, s.Images[1:], environment, s.VerifyKeys, s.PlainHTTP
		settings.SignKey, settings.LegacySignatures = s.SignKey, s.LegacySignatures
		settings.Policy, settings.OverrideReason = s.Policy, s.OverrideReason
	})
	return settings, err
}

// deploySettings returns the settings of the deploy to an environment.
func (s Settings) deploySettings(environment release.Environment, image release.Image, commit release.Commit) (settings deploy.Settings, err error) {
	err = settings.Declare().ApplyDefaults(func() {
		settings.Environment, settings.Release, settings.Commit = environment, s.Release, commit
		settings.Images, settings.PinText = s.withDigest(image), s.PinText
		settings.ChartSource = s.ChartSource
		for _, file := range s.Values {
			settings.Values = append(settings.Values, strings.ReplaceAll(file, "{environment}", environment.String()))
		}
		settings.CreateNamespace, settings.PodSecurity, settings.Timeout, settings.ClusterRef = true, s.PodSecurity, s.Timeout, s.ClusterRef()
		settings.Address, settings.PlainHTTP, settings.GitHubToken = addressIn(s.Address, environment), s.PlainHTTP, s.GitHubToken
		settings.SignKey, settings.LegacySignatures = s.SignKey, s.LegacySignatures
		settings.Policy, settings.OverrideReason = s.Policy, s.OverrideReason
		if before, found := release.DefaultPromotionOrder.Before(environment); found {
			settings.ProvedIn, settings.VerifyKeys = before, s.VerifyKeys
		}
	})
	return settings, err
}

// rollbackSettings returns the settings of the deploy that only rolls back after a failed smoke.
func (s Settings) rollbackSettings(environment release.Environment) (settings deploy.Settings, err error) {
	err = settings.Declare().ApplyDefaults(func() {
		settings.RollbackFailedSmoke, settings.Environment, settings.Release = true, environment, s.Release
		settings.Timeout, settings.ClusterRef = s.Timeout, s.ClusterRef()
		settings.SignKey, settings.LegacySignatures, settings.PlainHTTP = s.SignKey, s.LegacySignatures, s.PlainHTTP
	})
	return settings, err
}

// smokeSettings returns the settings of the smoke of an environment.
func (s Settings) smokeSettings(environment release.Environment, image release.Image) (settings smoke.Settings, err error) {
	err = settings.Declare().ApplyDefaults(func() {
		settings.Environment, settings.Image, settings.Further, settings.Release = environment, image, s.Images[1:], s.Release
		settings.SignKey, settings.LegacySignatures, settings.PlainHTTP = s.SignKey, s.LegacySignatures, s.PlainHTTP
		settings.Checks, settings.Timeout, settings.ClusterRef = s.Checks, s.Timeout, s.ClusterRef()
		settings.Address = addressIn(s.Address, environment)
	})
	return settings, err
}

// ClusterRef returns the access to the cluster, which is the same for every environment.
func (s Settings) ClusterRef() setting.ClusterRef {
	return setting.ClusterRef{Kubeconfig: s.Kubeconfig, Context: s.KubeContext, AllowWorkTree: s.AllowWorkTree}
}
