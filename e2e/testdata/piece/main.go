// NAME is one of the images that the chart classes run. It names no commit in its answers.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// revision makes the images of two commits differ.
const revision = "REVISION"

func main() {
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	fmt.Println("NAME", revision, strings.Join(os.Args[1:], " "))
	if mode == "once" {
		return
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if mode == "raw" {
		go greet(listener)
	} else {
		go serve(listener)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}

// greet speaks first and then listens, as a mail server does.
func greet(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(connection, "220 NAME\r\n")
		connection.Close()
	}
}

// serve answers every request, and gRPC's question for the health of the service.
func serve(listener net.Listener) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/grpc.health.v1.Health/Check" {
			fmt.Fprintln(w, "NAME")
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte{0, 0, 0, 0, 2, 8, 1}) // status: SERVING
		w.Header().Set("Grpc-Status", "0")
	})}
	server.Serve(listener)
}
