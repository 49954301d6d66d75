package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for nodes.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.cert = a.sign("ca", template, nil)
	return a
}

func (a *authority) sign(name string, template *x509.Certificate, parent *x509.Certificate,
) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	return key, cert
}

func (a *authority) write(name, kind string, der []byte) {
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue makes files for a node; name is what the certificate says.
func (a *authority) issue(name string) PeerTLS {
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert)
	file := func(n string) string { return filepath.Join(a.dir, n) }
	return PeerTLS{Cert: file(name + ".pem"), Key: file(name + ".key"), CA: file("ca.pem")}
}

func TestNodesAuthenticateEachOther(t *testing.T) {
	ca := newAuthority(t)
	c := newCluster(t, 3, func(cfg *Config) { cfg.PeerTLS = ca.issue(cfg.ID.String()) })
	for _, p := range c.peers {
		c.start(p.ID)
	}
	c.do("put", `{"key":"a","value":"1"}`)
	c.converged()
}

func TestANodeWithoutItsOwnCertificateIsKeptOut(t *testing.T) {
	cases := map[string]func(cfg *Config, ca *authority){
		"no TLS": func(cfg *Config, _ *authority) { cfg.PeerTLS = PeerTLS{} },
		"another authority": func(cfg *Config, _ *authority) {
			cfg.PeerTLS = newAuthority(t).issue("n3")
		},
		"another node's": func(cfg *Config, ca *authority) { cfg.PeerTLS = ca.issue("n9") },
	}
	for name, edit := range cases {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			c := newCluster(t, 3, func(cfg *Config) {
				cfg.PeerTLS = ca.issue(cfg.ID.String())
				if cfg.ID == 3 {
					edit(cfg, ca)
				}
			})
			s := c.start(3)
			delete(c.nodes, 3)
			defer s.Kill()
			c.start(1)
			c.start(2)
			c.do("put", `{"key":"a","value":"1"}`)
			c.converged()
			if st, _ := s.Status(); st.Term != 0 || st.LastIndex != 0 {
				t.Errorf("it takes part: %+v", st)
			}
		})
	}
}
