package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// margin is how long before it expires a token is replaced. It must outlast the longest push.
const margin = 30 * time.Minute

// token is what GetAuthorizationToken returns. It is valid for 12 hours and for every registry in its region that the
// credentials may access. Source: Amazon ECR API Reference, GetAuthorizationToken.
type token struct {
	username, password string
	expires            time.Time
	host               string // the registry host that the endpoint issued it for
}

// tokenCache keeps one location's token. Its lock makes callers wait for one request instead of sending one each.
type tokenCache struct {
	mu    sync.Mutex
	token token
}

// Credentials returns the user name and password for a registry host that Owns accepts. They are cached until half an hour before
// they expire, or until Forget.
func (c *Client) Credentials(ctx context.Context, host string) (username, password string, expires time.Time, err error) {
	token, err := c.token(ctx, host)
	return token.username, token.password, token.expires, err
}

// Forget drops the cached token of a host, because its registry refused it. Credentials then requests a new one.
func (c *Client) Forget(host string) {
	_, cache := c.tokenCache(host)
	cache.mu.Lock()
	defer cache.mu.Unlock()
	cache.token = token{}
}

// tokenCache returns the cache for a host's token and the location that issues it. All accounts of a region share one cache.
func (c *Client) tokenCache(host string) (location, *tokenCache) {
	at := c.locate(host)
	at.account = ""
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens[at] == nil {
		c.tokens[at] = &tokenCache{}
	}
	return at, c.tokens[at]
}

// token returns the cached token for a host, or requests a new one if it is missing or expires soon.
func (c *Client) token(ctx context.Context, host string) (token, error) {
	at, cache := c.tokenCache(host)
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if time.Until(cache.token.expires) > margin {
		return cache.token, nil
	}
	fresh, err := c.requestToken(ctx, at)
	if err != nil {
		return token{}, fault(err, "getting a token for "+strconv.Quote(host), "ecr:GetAuthorizationToken")
	}
	cache.token = fresh
	return fresh, nil
}

// requestToken gets a token from a location's API and decodes it.
func (c *Client) requestToken(ctx context.Context, at location) (token, error) {
	api, err := c.api(at)
	if err != nil {
		return token{}, err
	}
	response, err := api.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return token{}, err
	}
	if len(response.AuthorizationData) == 0 {
		return token{}, errors.New("the response contains no token")
	}
	data := response.AuthorizationData[0]
	plain, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken))
	if err != nil {
		return token{}, errors.New("the token is not base64") // err would print a part of it
	}
	username, password, found := strings.Cut(string(plain), ":")
	if !found || username == "" || password == "" {
		return token{}, errors.New("the token is not a user name and a password")
	}
	return token{username: username, password: password, expires: aws.ToTime(data.ExpiresAt), host: hostOf(aws.ToString(data.ProxyEndpoint))}, nil
}
