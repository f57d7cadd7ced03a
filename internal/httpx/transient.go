package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// IsTransient reports whether an error of a request may not occur at the next attempt: a connection that broke or was not made, a
// name server that did not answer. A name that does not exist, an untrusted certificate and a cancelled context are not
// transient.
func IsTransient(err error) bool {
	var (
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		header      tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &certificate), errors.As(err, &header):
		return false
	case errors.As(err, &name):
		return !name.IsNotFound
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "server closed") || strings.Contains(err.Error(), "http2: ")
}

// IsUnavailable reports whether a status says that the server failed and may succeed at the next attempt.
func IsUnavailable(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
