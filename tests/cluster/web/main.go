// The application inside preview test images: an HTTP server that names the revision it was made from,
// or one that fails in a chosen way. It knows nothing of previews, so that whatever a page says is proof
// of what really runs.
package main

import (
	"bytes"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const slowStart = 5 * time.Second

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: web ok|crash|slow|never|unhealthy|oom|once REVISION")
	}
	fate, revision := os.Args[1], os.Args[2]
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	status := http.StatusOK
	switch fate {
	case "ok":
	case "crash":
		log.Fatalf("fatal: DATABASE_URL is not set (revision %s)", revision)
	case "slow":
		log.Printf("warming up for %s", slowStart)
		time.Sleep(slowStart)
	case "once":
		log.Printf("done (revision %s)", revision)
		return
	case "oom":
		log.Printf("filling memory (revision %s)", revision)
		for memory := [][]byte{}; ; {
			memory = append(memory, bytes.Repeat([]byte{1}, 1<<24))
		}
	case "never":
		status = http.StatusServiceUnavailable
	case "unhealthy":
		status = http.StatusInternalServerError
	default:
		log.Fatalf("unknown fate %q", fate)
	}

	// PID 1 has no default signal actions: without this every removal would wait for the whole grace period.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		os.Exit(0)
	}()

	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("Content-Type", "text/html; charset=utf-8")
		response.WriteHeader(status)
		fmt.Fprintf(response, "<!doctype html>\n<title>preview</title>\n<p>revision <code>%s</code></p>\n<p>path <code>%q</code></p>\n", revision, request.URL.Path)
	})
	log.Printf("revision %s listens on port %s", revision, port)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
