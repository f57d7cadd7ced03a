package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/onedigest/onedigest/devenv/localaws"
)

// putCluster registers a cluster with a running server, by a call that AWS does not have.
func putCluster(ctx context.Context, at running, cluster localaws.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := json.Marshal(cluster)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, at.url()+localaws.ClusterPath(cluster.Name), bytes.NewReader(body))
	if err != nil {
		return err
	}
	keys := aws.Credentials{AccessKeyID: localaws.DefaultAccessKeyID, SecretAccessKey: localaws.DefaultSecretAccessKey}
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	if err := v4.NewSigner().SignHTTP(ctx, keys, request, sum, "eks", localaws.DefaultRegion, time.Now()); err != nil {
		return err
	}
	// A transport of its own ignores the environment's proxy settings.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		message, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		if err != nil {
			return err
		}
		return fmt.Errorf("asking %s: %s: %s", at.url(), response.Status, bytes.TrimSpace(message))
	}
	return nil
}
