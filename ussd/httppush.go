package ussd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// HTTPPush has screens shown by a network that takes them over HTTP:
//
//	POST URL
//	Authorization: Bearer TOKEN
//	{"phoneNumber": "+254712000001", "sessionId": "push-7", "text": "..."}
//
// 200 says that the phone shows the text, 409 that it is in a session, 404 that
// it is off or unknown. What is keyed in comes to the address of Africa's
// Talking's dialect, as any other session; that gateway itself has no such wire.
type HTTPPush struct {
	URL, Token string
	Client     *http.Client // with a timeout of its own
}

// Name implements Pusher: the answers come in Africa's Talking's dialect.
func (h HTTPPush) Name() string { return "at" }

// maxPushAnswer bounds what is read of the network's answer, so that its
// connection can be used again.
const maxPushAnswer = 64 << 10

// Push implements Pusher.
func (h HTTPPush) Push(ctx context.Context, p Push) error {
	body, err := json.Marshal(map[string]string{"phoneNumber": string(p.To), "sessionId": p.Session, "text": p.Text})
	if err != nil {
		return fmt.Errorf("ussd: push: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ussd: push: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+h.Token)
	res, err := h.Client.Do(req)
	if err != nil {
		return fmt.Errorf("ussd: push: %w", err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, maxPushAnswer))
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusConflict:
		return fmt.Errorf("ussd: push: the phone is in a session")
	case http.StatusNotFound:
		return fmt.Errorf("ussd: push: the phone cannot be reached")
	}
	return fmt.Errorf("ussd: push: the network answered %d", res.StatusCode)
}
