module ingress

go 1.24
