package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// PeerTLS names the files for mutual TLS between nodes, in PEM. All of them or none.
type PeerTLS struct {
	// Cert and Key are this node's. The certificate has to carry the node's name ("n1") as a DNS
	// name, and to be good for clients and servers.
	Cert, Key string
	CA        string // whoever this one has signed is a node
}

// load reads the files; nil if none are named.
func (p PeerTLS) load() (*tls.Config, error) {
	if p == (PeerTLS{}) {
		return nil, nil
	}
	if p.Cert == "" || p.Key == "" || p.CA == "" {
		return nil, errors.New("peer TLS needs certificate, key and CA")
	}
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, fmt.Errorf("peer TLS: %w", err)
	}
	pem, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, fmt.Errorf("peer TLS: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("peer TLS: %s holds no certificate", p.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}
