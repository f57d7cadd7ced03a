// Command answer is the sandbox's test workload: it answers every request with its own version, and after SIGTERM it
// keeps answering until the cluster has had time to remove it from the endpoints.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log.Fatal(run())
}

func run() error {
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, os.Getenv("VERSION"))
		})}
	log.Println("answering as", os.Getenv("VERSION"))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		time.Sleep(time.Second)
		server.Shutdown(context.Background())
		os.Exit(0)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	select {}
}
