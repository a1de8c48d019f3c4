package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	caLasts   = 10 * 365 * 24 * time.Hour
	certLasts = 398 * 24 * time.Hour // what browsers and tools accept at most
	backdated = 5 * time.Minute      // clocks differ
)

// TLSFiles are the certificates that [Folder.MakeTLS] makes.
type TLSFiles struct {
	CA         string `json:"ca"`
	ServerCert string `json:"server_cert"`
	ServerKey  string `json:"server_key"`
	ClientCert string `json:"client_cert"`
	ClientKey  string `json:"client_key"`
}

// TLSFiles says where the certificates are, whether they exist or not.
func (f *Folder) TLSFiles() TLSFiles {
	return TLSFiles{
		CA:         f.path("tls", "ca.pem"),
		ServerCert: f.path("tls", "server.pem"), ServerKey: f.path("tls", "server-key.pem"),
		ClientCert: f.path("tls", "client.pem"), ClientKey: f.path("tls", "client-key.pem"),
	}
}

// MakeTLS makes certificates for the servers, which are reached by these host names
// and addresses, and for clients, for a team without a CA of its own. The CA and its
// key (tls/ca-key.pem) are made once; certificates are made anew each time.
func (f *Folder) MakeTLS(hosts []string) (TLSFiles, error) {
	files := f.TLSFiles()
	if len(hosts) == 0 {
		return files, errors.New("name the hosts by which the servers are reached: they stand in their certificate")
	}
	return files, f.locked(func() error {
		ca, key, err := f.authority(files)
		if err != nil {
			return err
		}
		server := certificate("ordermesh server", certLasts)
		server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} // routes are both
		for _, h := range hosts {
			if ip := net.ParseIP(h); ip != nil {
				server.IPAddresses = append(server.IPAddresses, ip)
			} else {
				server.DNSNames = append(server.DNSNames, h)
			}
		}
		if err := signCertificate(server, ca, key, files.ServerCert, files.ServerKey); err != nil {
			return err
		}
		client := certificate("ordermesh client", certLasts)
		client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		return signCertificate(client, ca, key, files.ClientCert, files.ClientKey)
	})
}

// authority is the CA of the folder, made when there is none.
func (f *Folder) authority(files TLSFiles) (*x509.Certificate, crypto.Signer, error) {
	keyFile := f.path("tls", "ca-key.pem")
	if !exists(keyFile) {
		ca := certificate("ordermesh CA", caLasts)
		ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
		ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if err := signCertificate(ca, nil, nil, files.CA, keyFile); err != nil {
			return nil, nil, err
		}
	}
	if err := CheckSecret(keyFile); err != nil {
		return nil, nil, err
	}
	cert, err := readPEM(files.CA, x509.ParseCertificate)
	if err != nil {
		return nil, nil, err
	}
	key, err := readPEM(keyFile, x509.ParseECPrivateKey)
	return cert, key, err
}

func readPEM[T any](path string, parse func([]byte) (T, error)) (T, error) {
	var none T
	text, err := read(path)
	if err != nil {
		return none, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return none, fmt.Errorf("%s is no PEM file: put back a copy of it", path)
	}
	value, err := parse(block.Bytes)
	if err != nil {
		return none, fmt.Errorf("%s cannot be read (%w): put back a copy of it", path, err)
	}
	return value, nil
}

func certificate(name string, lasts time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{"ordermesh"}},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(lasts),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// signCertificate gives the certificate a key and writes both. Without a CA it signs itself.
func signCertificate(cert, ca *x509.Certificate, caKey crypto.Signer, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if cert.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return fmt.Errorf("make a serial number: %w", err)
	}
	if ca == nil {
		ca, caKey = cert, key
	}
	text, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("sign %s: %w", certFile, err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("write %s: %w", keyFile, err)
	}
	defer clear(secret)
	if err := write(keyFile, secretMode, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})); err != nil {
		return err
	}
	return write(certFile, publicMode, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}))
}
