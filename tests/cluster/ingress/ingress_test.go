package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A cluster with one preview: web on /, its API below /api with the prefix stripped, a Service without pods, and a wildcard.
func cluster(t *testing.T, pod string) *API {
	host, port, err := net.SplitHostPort(pod)
	if err != nil {
		t.Fatal(err)
	}
	rule := func(host, path, kind, service string) string {
		return fmt.Sprintf(`{"host":%q,"http":{"paths":[{"path":%q,"pathType":%q,"backend":{"service":{"name":%q,"port":{"name":"http"}}}}]}}`, host, path, kind, service)
	}
	objects := map[string]string{
		"/apis/networking.k8s.io/v1/ingresses": `{"items":[
			{"metadata":{"name":"web"},"spec":{"rules":[` + rule("pr-1.test", "/", "Prefix", "web") + "," + rule("pr-1.test", "/empty", "Prefix", "empty") + "," + rule("pr-1.test", "/gone", "Exact", "gone") + "," + rule("*.wild.test", "/", "Prefix", "web") + `]}},
			{"metadata":{"name":"api","annotations":{"nginx.ingress.kubernetes.io/rewrite-target":"/$2"}},"spec":{"rules":[` + rule("pr-1.test", "/api(/|$)(.*)", "ImplementationSpecific", "web") + `]}}]}`,
		"/api/v1/namespaces//services/web":   `{"spec":{"ports":[{"name":"http","port":80}]}}`,
		"/api/v1/namespaces//services/empty": `{"spec":{"ports":[{"name":"http","port":80}]}}`,
		"/apis/discovery.k8s.io/v1/namespaces//endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dweb": fmt.Sprintf(
			`{"items":[{"ports":[{"name":"http","port":%s}],"endpoints":[{"addresses":["192.0.2.1"],"conditions":{"ready":false}},{"addresses":[%q],"conditions":{"ready":true}}]}]}`, port, host),
		"/apis/discovery.k8s.io/v1/namespaces//endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dempty": `{"items":[]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		text, ok := objects[request.URL.RequestURI()]
		if !ok {
			http.NotFound(response, request)
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON: %s", request.URL, text)
		}
		io.WriteString(response, text)
	}))
	t.Cleanup(server.Close)
	return &API{server: server.URL, client: server.Client()}
}

func pod(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Upgrade") == "" {
			fmt.Fprintf(response, "%s %s %s", request.Host, request.URL.Path, request.Header.Get("X-Forwarded-Proto"))
			return
		}
		connection, buffered, err := response.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer connection.Close()
		io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		io.WriteString(connection, "echo "+line)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestRoutes(t *testing.T) {
	proxy := handler(cluster(t, pod(t)), "http")
	for _, want := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"pr-1.test", "/", 200, "pr-1.test / http"},
		{"PR-1.test:8880", "/deep/page", 200, "PR-1.test:8880 /deep/page http"},
		{"pr-1.test", "/api", 200, "pr-1.test / http"},
		{"pr-1.test", "/api/v1/x", 200, "pr-1.test /v1/x http"},
		{"pr-1.test", "/apiary", 200, "pr-1.test /apiary http"},
		{"any.wild.test", "/", 200, "any.wild.test / http"},
		{"two.labels.wild.test", "/", 404, "no ingress has host"},
		{"nobody.test", "/", 404, "no ingress has host nobody.test"},
		{"pr-1.test", "/empty/x", 503, "no ready endpoint"},
		{"pr-1.test", "/gone", 503, "does not exist"},
		{"pr-1.test", "/gone/x", 200, "pr-1.test /gone/x http"},
	} {
		request := httptest.NewRequest("GET", want.path, nil)
		request.Host = want.host
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, request)
		if answer.Code != want.status || !strings.Contains(answer.Body.String(), want.body) {
			t.Errorf("%s%s: %d %q, want %d %q", want.host, want.path, answer.Code, answer.Body, want.status, want.body)
		}
	}
}

func TestDeadBackendIs502(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	request := httptest.NewRequest("GET", "/", nil)
	request.Host = "pr-1.test"
	answer := httptest.NewRecorder()
	handler(cluster(t, listener.Addr().String()), "http").ServeHTTP(answer, request)
	if answer.Code != 502 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestWebsocketPassesBothWays(t *testing.T) {
	proxy := httptest.NewServer(handler(cluster(t, pod(t)), "http"))
	defer proxy.Close()
	connection, err := net.Dial("tcp", proxy.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	io.WriteString(connection, "GET /ws HTTP/1.1\r\nHost: pr-1.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(connection)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != 101 {
		t.Fatalf("%v %v", answer, err)
	}
	io.WriteString(connection, "hello\n")
	if line, err := reader.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q %v", line, err)
	}
}
