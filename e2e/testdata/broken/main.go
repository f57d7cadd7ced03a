// Broken is a program that fails in the way that the variable DOES names.
package main

import (
	"log"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

var broken atomic.Bool

func main() {
	log.SetFlags(0)
	log.Printf("broken: %s", os.Getenv("DOES"))
	switch os.Getenv("DOES") {
	case "exit":
		log.Print("cannot go on: no DATABASE_URL")
		os.Exit(3)
	case "eat":
		for eaten := [][]byte{}; ; {
			piece := make([]byte, 1<<20)
			for i := range piece {
				piece[i] = 1
			}
			eaten = append(eaten, piece)
			if len(eaten)%16 == 0 {
				log.Printf("%d MiB", len(eaten))
			}
		}
	case "done":
		return
	case "sleep":
		time.Sleep(time.Hour)
	case "end":
		time.Sleep(time.Second)
		log.Print("done")
		return
	case "try": // ends well at the third try; /tries lasts as long as the pod
		tries, _ := os.ReadFile("/tries/count")
		if err := os.WriteFile("/tries/count", append(tries, '.'), 0o600); err != nil {
			log.Fatal(err)
		}
		if len(tries) < 2 {
			log.Fatalf("try %d: not yet", len(tries)+1)
		}
		return
	}
	for path, name := range map[string]string{"/started": "STARTED", "/live": "LIVE", "/ready": "READY"} {
		status, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			status = http.StatusOK
		}
		http.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if path == "/ready" && broken.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(status)
		})
	}
	http.HandleFunc("GET /break", func(http.ResponseWriter, *http.Request) { // from then on, this host is not ready
		if host, err := os.Hostname(); err != nil || host == os.Getenv("BREAKABLE_HOST") {
			broken.Store(true)
		}
	})
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		if host, err := os.Hostname(); err != nil || host == os.Getenv("BROKEN_HOST") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	log.Print("listening on 8080")
	log.Fatal(http.ListenAndServe(":8080", nil)) //nolint:gosec // a test's own program
}
