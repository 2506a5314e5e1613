package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxInboxAnswer bounds what FetchInbox reads: a full inbox of the longest messages fits.
const maxInboxAnswer = 8 << 20

// FetchInbox asks the simulator at base (http://127.0.0.1:8080) what the phone has received, oldest first.
func FetchInbox(ctx context.Context, client *http.Client, base, number string) ([]SMS, error) {
	number, err := msisdn(number)
	if err != nil {
		return nil, fmt.Errorf("simulator: inbox: %w", err)
	}
	address := strings.TrimRight(base, "/") + "/simulator/phones/" + url.PathEscape(number) + "/sms"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("simulator: inbox: %w", err)
	}
	if client == nil {
		client = &http.Client{}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("simulator: inbox: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("simulator: inbox: %s answered %s", address, resp.Status)
	}
	var inbox []SMS
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxInboxAnswer)).Decode(&inbox); err != nil {
		return nil, fmt.Errorf("simulator: inbox: %w", err)
	}
	return inbox, nil
}

// SendText has the simulator at base send a message from the phone to the application.
func SendText(ctx context.Context, client *http.Client, base, number, body string) error {
	number, err := msisdn(number)
	if err != nil {
		return fmt.Errorf("simulator: text: %w", err)
	}
	message, err := json.Marshal(map[string]string{"body": body})
	if err != nil {
		return fmt.Errorf("simulator: text: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/simulator/phones/"+url.PathEscape(number)+"/sms", bytes.NewReader(message))
	if err != nil {
		return fmt.Errorf("simulator: text: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if client == nil {
		client = &http.Client{}
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("simulator: text: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	var why problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&why); err != nil || why.Error == "" {
		why.Error = resp.Status
	}
	return fmt.Errorf("simulator: text: %w: %s", ErrNetwork, why.Error)
}
