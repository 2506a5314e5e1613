package accounts

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// SealSecret makes a secret unreadable that, unlike a PIN, must be read again.
// whose is what it belongs to: sealed for one it does not open for another.
func (p *PINs) SealSecret(whose string, secret []byte) (string, error) {
	box, err := p.box(p.keys.Active)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, box.NonceSize())
	if _, err := io.ReadFull(p.rand, nonce); err != nil {
		return "", fmt.Errorf("accounts: a nonce: %w", err)
	}
	return p.keys.Active + "." + base64.RawStdEncoding.EncodeToString(box.Seal(nonce, nonce, secret, []byte(whose))), nil
}

// OpenSecret reads one. stale: another key than the active one had sealed it.
func (p *PINs) OpenSecret(whose, sealed string) (secret []byte, stale bool, err error) {
	id, text, _ := strings.Cut(sealed, ".")
	if _, ok := p.keys.ByID[id]; !ok {
		return nil, false, fmt.Errorf("accounts: a secret of %s was sealed with key %q, which is not configured", whose, id)
	}
	box, err := p.box(id)
	if err != nil {
		return nil, false, err
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) < box.NonceSize() {
		return nil, false, fmt.Errorf("accounts: a secret of %s is not in a form that we wrote", whose)
	}
	secret, err = box.Open(nil, b[:box.NonceSize()], b[box.NonceSize():], []byte(whose))
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("accounts: a secret of %s does not open", whose), err)
	}
	return secret, id != p.keys.Active, nil
}

// box is AES-256 in GCM with a key of its own, which follows from a PIN key.
func (p *PINs) box(id string) (cipher.AEAD, error) {
	block, err := aes.NewCipher(seal(p.keys.ByID[id], []byte("secrets that are read again")))
	if err != nil {
		return nil, fmt.Errorf("accounts: key %q: %w", id, err)
	}
	return cipher.NewGCM(block)
}
