package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// spare is how long before its end a token is not used any more. It must outlast the longest push.
const spare = 30 * time.Minute

// token is what GetAuthorizationToken gives. It is valid for 12 hours, and for every registry that the credentials may
// reach, in its region. Source: Amazon ECR API Reference, GetAuthorizationToken.
type token struct {
	username, password string
	expires            time.Time
	host               string // that the endpoint gave it for
}

// tokenCell holds one location's token. Its lock makes callers wait for one request instead of making one each.
type tokenCell struct {
	mu    sync.Mutex
	token token
}

// Credentials is the user name and password for a registry host that Owns says yes of. They are kept until half an hour
// before they expire or until Forget.
func (c *Client) Credentials(ctx context.Context, host string) (username, password string, expires time.Time, err error) {
	token, err := c.token(ctx, host)
	return token.username, token.password, token.expires, err
}

// Forget drops a host's token, which the registry refused, so that the next Credentials are new ones.
func (c *Client) Forget(host string) {
	cell := c.cell(host)
	cell.mu.Lock()
	defer cell.mu.Unlock()
	cell.token = token{}
}

func (c *Client) cell(host string) *tokenCell {
	at := c.at(host)
	at.account = "" // one token opens every account's registry
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens[at] == nil {
		c.tokens[at] = &tokenCell{}
	}
	return c.tokens[at]
}

func (c *Client) token(ctx context.Context, host string) (token, error) {
	cell := c.cell(host)
	cell.mu.Lock()
	defer cell.mu.Unlock()
	if time.Until(cell.token.expires) > spare {
		return cell.token, nil
	}
	at := c.at(host)
	at.account = ""
	fresh, err := c.ask(ctx, at)
	if err != nil {
		return token{}, fault(err, "getting a token for "+quote(host), "ecr:GetAuthorizationToken")
	}
	cell.token = fresh
	return fresh, nil
}

func (c *Client) ask(ctx context.Context, at location) (token, error) {
	api, err := c.api(at)
	if err != nil {
		return token{}, err
	}
	answer, err := api.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return token{}, err
	}
	if len(answer.AuthorizationData) == 0 {
		return token{}, errors.New("the answer holds no token")
	}
	given := answer.AuthorizationData[0]
	plain, err := base64.StdEncoding.DecodeString(aws.ToString(given.AuthorizationToken))
	if err != nil {
		return token{}, errors.New("the token is not base64") // the cause would print a part of it
	}
	username, password, found := strings.Cut(string(plain), ":")
	if !found || username == "" || password == "" {
		return token{}, errors.New("the token is not a user name and a password")
	}
	return token{username: username, password: password, expires: aws.ToTime(given.ExpiresAt), host: hostOf(aws.ToString(given.ProxyEndpoint))}, nil
}
