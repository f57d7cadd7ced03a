// Command pause keeps a pod's namespaces open until it gets a signal. It is the sandbox's pause image, because the usual one would
// have to be pulled.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// An ignored SIGCHLD makes the kernel reap, so that a pod which shares its PID namespace leaves no zombies to PID 1.
	signal.Ignore(syscall.SIGCHLD)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
