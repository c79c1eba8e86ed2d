// A reverse proxy that serves the Ingress objects of a test cluster on this machine: each request's host and
// path become the address of a pod. It asks the API server anew at every request, so that there is no cache to
// go stale between a deploy and the look at its page.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig as JSON (kubectl config view --raw --minify --flatten -o json)")
	plain := flag.String("http", "", "addresses for HTTP, separated by commas")
	secure := flag.String("https", "", "addresses for HTTPS, separated by commas")
	domain := flag.String("domain", "", "domain whose wildcard certificate HTTPS shows")
	ca := flag.String("ca", "", "file the certificate of the self-made authority is written to")
	flag.Parse()
	log.SetFlags(log.Ltime)

	api, err := connect(*kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	failed := make(chan error)
	for _, address := range list(*plain) {
		go func() { failed <- http.ListenAndServe(address, handler(api, "http")) }()
		log.Printf("http on %s", address)
	}
	if addresses := list(*secure); len(addresses) > 0 {
		certificate, authority, err := wildcard(*domain)
		if err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(*ca, authority, 0o644); err != nil {
			log.Fatal(err)
		}
		for _, address := range addresses {
			// HTTP/2 stays off: a websocket needs the Upgrade of HTTP/1.1
			server := &http.Server{Addr: address, Handler: handler(api, "https"), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
			go func() { failed <- server.ListenAndServeTLS("", "") }()
			log.Printf("https on %s for *.%s", address, *domain)
		}
	}
	log.Fatal(<-failed)
}

// backends keeps no connection open: the pod at its other end may be gone at the next request.
var backends = &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, DisableKeepAlives: true}

func list(commas string) []string {
	return strings.FieldsFunc(commas, func(r rune) bool { return r == ',' })
}

func handler(api *API, scheme string) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		target, err := find(api, hostname(request.Host), request.URL.Path)
		if err != nil {
			status := http.StatusBadGateway
			var refused *refusal
			if errors.As(err, &refused) {
				status = refused.status
			}
			log.Printf("%s %s%s: %d %s", request.Method, request.Host, request.URL.Path, status, err)
			http.Error(response, fmt.Sprintf("%d: %s", status, err), status)
			return
		}
		proxy := httputil.ReverseProxy{
			Transport: backends,
			Rewrite: func(out *httputil.ProxyRequest) {
				out.SetURL(&url.URL{Scheme: "http", Host: target.address})
				out.Out.URL.Path, out.Out.URL.RawPath = target.path, ""
				out.Out.Host = out.In.Host
				out.SetXForwarded()
				out.Out.Header.Set("X-Forwarded-Proto", scheme)
			},
			ErrorHandler: func(response http.ResponseWriter, request *http.Request, err error) {
				log.Printf("%s %s%s: 502 %s", request.Method, request.Host, request.URL.Path, err)
				http.Error(response, fmt.Sprintf("502: %s", err), http.StatusBadGateway)
			},
		}
		proxy.ServeHTTP(response, request)
	})
}
