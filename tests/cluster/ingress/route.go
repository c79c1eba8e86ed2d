package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// The two annotations of ingress-nginx that strip a path's prefix.
const (
	rewriteTarget = "nginx.ingress.kubernetes.io/rewrite-target"
	useRegex      = "nginx.ingress.kubernetes.io/use-regex"
)

type ingress struct {
	Metadata struct {
		Name, Namespace   string
		Annotations       map[string]string
		DeletionTimestamp string
	}
	Spec struct {
		Rules []struct {
			Host string
			HTTP struct{ Paths []path }
		}
	}
}

type path struct {
	Path, PathType string
	Backend        struct {
		Service struct {
			Name string
			Port servicePort
		}
	}
}

type servicePort struct {
	Name   string
	Number int
}

// target is where one request goes: a pod's address, and the path it is asked for there.
type target struct{ address, path string }

// refusal is an answer of our own, as an ingress controller would give it.
type refusal struct {
	status int
	why    string
}

func (r *refusal) Error() string { return r.why }

// candidate is an Ingress path that takes a request, with what decides between several.
type candidate struct {
	of       ingress
	to       path
	rewrite  string
	exact    bool
	wildcard bool
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

func find(api *API, host, requestPath string) (target, error) {
	var all struct{ Items []ingress }
	if err := api.read("/apis/networking.k8s.io/v1/ingresses", &all); err != nil {
		return target{}, fmt.Errorf("cannot list ingresses: %w", err)
	}
	known := false
	var best *candidate
	for _, object := range all.Items {
		for _, rule := range object.Spec.Rules {
			wildcard, matches := hostMatches(rule.Host, host)
			if !matches {
				continue
			}
			known = true
			for _, entry := range rule.HTTP.Paths {
				rewrite, exact, matches := pathMatches(object.Metadata.Annotations, entry, requestPath)
				if !matches {
					continue
				}
				found := &candidate{object, entry, rewrite, exact, wildcard}
				if best == nil || found.beats(best) {
					best = found
				}
			}
		}
	}
	switch {
	case !known:
		return target{}, &refusal{http.StatusNotFound, fmt.Sprintf("no ingress has host %s", host)}
	case best == nil:
		return target{}, &refusal{http.StatusNotFound, fmt.Sprintf("no ingress path of host %s takes %s", host, requestPath)}
	}
	address, err := resolve(api, best.of.Metadata.Namespace, best.to.Backend.Service.Name, best.to.Backend.Service.Port)
	return target{address, best.rewrite}, err
}

func (c *candidate) beats(other *candidate) bool {
	switch {
	case c.wildcard != other.wildcard:
		return other.wildcard
	case c.exact != other.exact:
		return c.exact
	default:
		return len(c.to.Path) > len(other.to.Path)
	}
}

func hostMatches(rule, host string) (wildcard, matches bool) {
	if rule == "" {
		return true, true
	}
	if suffix, ok := strings.CutPrefix(rule, "*"); ok {
		label, found := strings.CutSuffix(host, suffix)
		return true, found && label != "" && !strings.Contains(label, ".")
	}
	return false, rule == host
}

func pathMatches(annotations map[string]string, entry path, request string) (rewrite string, exact, matches bool) {
	replacement, rewritten := annotations[rewriteTarget]
	if rewritten || annotations[useRegex] == "true" {
		pattern, err := regexp.Compile("^" + entry.Path)
		if err != nil {
			return "", false, false
		}
		groups := pattern.FindStringSubmatch(request)
		if groups == nil {
			return "", false, false
		}
		if !rewritten {
			return request, false, true
		}
		for number := len(groups) - 1; number > 0; number-- {
			replacement = strings.ReplaceAll(replacement, "$"+strconv.Itoa(number), groups[number])
		}
		return replacement, false, true
	}
	if entry.PathType == "Exact" {
		return request, true, entry.Path == request
	}
	prefix := strings.TrimSuffix(entry.Path, "/")
	return request, false, request == prefix || strings.HasPrefix(request, prefix+"/")
}

// resolve turns a Service's port into the address of a ready pod behind it. Like other ingress controllers it leaves
// out the Service's own address, whose rules on the node lag behind a rollout by a second or more.
func resolve(api *API, namespace, name string, wanted servicePort) (string, error) {
	port, err := portName(api, namespace, name, wanted)
	if err != nil {
		return "", err
	}
	var slices struct {
		Items []struct {
			Endpoints []struct {
				Addresses  []string
				Conditions struct{ Ready *bool }
			}
			Ports []struct {
				Name string
				Port int
			}
		}
	}
	selector := url.QueryEscape("kubernetes.io/service-name=" + name)
	if err := api.read("/apis/discovery.k8s.io/v1/namespaces/"+namespace+"/endpointslices?labelSelector="+selector, &slices); err != nil {
		return "", err
	}
	var ready []string
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			for _, at := range slice.Ports {
				if at.Name == port && (endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready) {
					ready = append(ready, net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(at.Port)))
				}
			}
		}
	}
	if len(ready) == 0 {
		return "", &refusal{http.StatusServiceUnavailable, fmt.Sprintf("service %s/%s has no ready endpoint", namespace, name)}
	}
	return ready[rand.IntN(len(ready))], nil
}

// portName is what EndpointSlices know a Service's port by; it is empty where the Service has only one.
func portName(api *API, namespace, name string, wanted servicePort) (string, error) {
	var service struct {
		Spec struct {
			Ports []struct {
				Name string
				Port int
			}
		}
	}
	if err := api.read("/api/v1/namespaces/"+namespace+"/services/"+name, &service); errors.Is(err, errNotFound) {
		return "", &refusal{http.StatusServiceUnavailable, fmt.Sprintf("service %s/%s does not exist", namespace, name)}
	} else if err != nil {
		return "", err
	}
	for _, port := range service.Spec.Ports {
		if port.Port == wanted.Number || wanted.Name != "" && port.Name == wanted.Name {
			return port.Name, nil
		}
	}
	return "", &refusal{http.StatusServiceUnavailable, fmt.Sprintf("service %s/%s has no port %s%d", namespace, name, wanted.Name, wanted.Number)}
}
