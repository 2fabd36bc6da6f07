package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"roost/schemas"
)

// API uses the HTTP part of the protocol. It keeps no state and starts no goroutine. If the
// server refuses a request, the error is a [*schemas.Error], see [Code]. Any other error
// means that there was no answer.
type API struct {
	// URL of the server, as in [Options]. Required.
	URL string

	// Token authenticates the user. Register and Login need none.
	Token string

	// HTTPClient sends the requests. Default: [http.DefaultClient], which waits for an
	// answer until the context of the request ends.
	HTTPClient *http.Client

	key string // see Idempotent
}

// Idempotent returns an API that adds an Idempotency-Key to requests that create something.
// Use a new key for each thing to create, for example from [crypto/rand.Text]. Retry the
// request with the same key if there was no answer, or the code is unavailable. For 24 hours
// a retry creates nothing twice and gets the first answer. The code is conflict if the key
// was used for another request.
func (a *API) Idempotent(key string) *API {
	keyed := *a
	keyed.key = key
	return &keyed
}

// maxAnswer bounds the bytes read from one answer. The largest, a page of history, is far
// smaller.
const maxAnswer = 4 << 20

// Register creates a built-in account. The code is conflict if the name is taken, and
// not_found if an external issuer manages the accounts.
func (a *API) Register(ctx context.Context, user schemas.UserID, password string) (schemas.AccountCreated, error) {
	var created schemas.AccountCreated
	err := a.call(ctx, http.MethodPost, "/accounts", schemas.Credentials{UserID: user, Password: password}, &created)
	return created, err
}

// Login returns a token of a built-in account, for API.Token and [Options].
func (a *API) Login(ctx context.Context, user schemas.UserID, password string) (schemas.Token, error) {
	var token schemas.Token
	err := a.call(ctx, http.MethodPost, "/sessions", schemas.Login{UserID: string(user), Password: password}, &token)
	return token, err
}

// DeleteAccount deletes the user's account, its devices, inboxes and history. It returns what
// other users keep. The password is that of a built-in account; leave it empty if an external
// issuer manages the accounts. The request may be repeated with the same token. The users of
// 1:1 chats with this user receive a [UserDeleted]. The server reserves the name of a built-in
// account for a time.
func (a *API) DeleteAccount(ctx context.Context, password string) (schemas.AccountDeleted, error) {
	var body any
	if password != "" {
		body = schemas.AccountDeletion{Password: password}
	}
	var deleted schemas.AccountDeleted
	err := a.call(ctx, http.MethodDelete, "/account", body, &deleted)
	return deleted, err
}

// Devices lists the user's devices.
func (a *API) Devices(ctx context.Context) ([]schemas.DeviceInfo, error) {
	var devices []schemas.DeviceInfo
	err := a.call(ctx, http.MethodGet, "/devices", nil, &devices)
	return devices, err
}

// RegisterDevice adds a device. The code is device_limit if the user has too many.
func (a *API) RegisterDevice(ctx context.Context, name string) (schemas.DeviceInfo, error) {
	var device schemas.DeviceInfo
	err := a.call(ctx, http.MethodPost, "/devices", schemas.NewDevice{Name: name}, &device)
	return device, err
}

// RemoveDevice closes the device's connection and deletes its inbox.
func (a *API) RemoveDevice(ctx context.Context, device schemas.DeviceID) error {
	return a.call(ctx, http.MethodDelete, "/devices/"+url.PathEscape(string(device)), nil, nil)
}

// Settings reads the user's settings.
func (a *API) Settings(ctx context.Context) (schemas.UserSettings, error) {
	var settings schemas.UserSettings
	err := a.call(ctx, http.MethodGet, "/user/settings", nil, &settings)
	return settings, err
}

// ChangeSettings changes the fields that are set and returns all settings.
func (a *API) ChangeSettings(ctx context.Context, change schemas.SettingsChange) (schemas.UserSettings, error) {
	var settings schemas.UserSettings
	err := a.call(ctx, http.MethodPut, "/user/settings", change, &settings)
	return settings, err
}

// ChatSettings reads the settings of the user's chat with another user.
func (a *API) ChatSettings(ctx context.Context, with schemas.UserID) (schemas.ChatSettings, error) {
	var settings schemas.ChatSettings
	err := a.call(ctx, http.MethodGet, "/chats/"+url.PathEscape(string(with)), nil, &settings)
	return settings, err
}

// ChangeChatSettings changes the settings of a 1:1 chat for both users, for later messages.
// Both receive a [ChatUpdate]. The code is chat_limit if too many chats have settings.
func (a *API) ChangeChatSettings(ctx context.Context, with schemas.UserID, settings schemas.ChatSettings) (schemas.ChatSettings, error) {
	var changed schemas.ChatSettings
	err := a.call(ctx, http.MethodPut, "/chats/"+url.PathEscape(string(with)), settings, &changed)
	return changed, err
}

// History returns a page of the user's stored history of a chat, newest message first. For
// the next page set bounds.Before to the id of the last message.
func (a *API) History(ctx context.Context, with schemas.Participant, bounds schemas.PageBounds) ([]schemas.HistoryMessage, error) {
	return a.page(ctx, "/history/"+url.PathEscape(string(with.User)+string(with.Group)), "last_timestamp", bounds)
}

func (a *API) page(ctx context.Context, path, time string, bounds schemas.PageBounds) (page []schemas.HistoryMessage, err error) {
	query := make(url.Values)
	if bounds.UpTo > 0 {
		query.Set(time, strconv.FormatInt(int64(bounds.UpTo), 10))
	}
	if bounds.Before != "" {
		query.Set("before", string(bounds.Before))
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	err = a.call(ctx, http.MethodGet, path, nil, &page)
	return page, err
}

// Status returns whether a user is online, if that user's settings show it.
func (a *API) Status(ctx context.Context, user schemas.UserID) (schemas.UserStatus, error) {
	var status schemas.UserStatus
	err := a.call(ctx, http.MethodGet, "/user/"+url.PathEscape(string(user))+"/status", nil, &status)
	return status, err
}

// ReadMarks returns how far the user has read each chat, on any device.
func (a *API) ReadMarks(ctx context.Context) (marks []schemas.ReadMark, err error) {
	for after := ""; ; {
		path := "/reads"
		if after != "" {
			path += "?after=" + url.QueryEscape(after)
		}
		var page schemas.ReadMarks
		if err := a.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		marks = append(marks, page.Items...)
		if page.Next == "" || page.Next == after {
			return marks, nil
		}
		after = page.Next
	}
}

// Blocks lists the users that this user blocks.
func (a *API) Blocks(ctx context.Context) ([]schemas.UserID, error) {
	var list schemas.BlockList
	err := a.call(ctx, http.MethodGet, "/blocks", nil, &list)
	return list.UserIDs, err
}

// Block blocks another user: the server does not deliver that user's messages of the 1:1
// chat, and does not tell that user. The code is block_limit if the user blocks too many.
func (a *API) Block(ctx context.Context, user schemas.UserID) error {
	return a.call(ctx, http.MethodPut, "/blocks/"+url.PathEscape(string(user)), nil, nil)
}

// Unblock ends a block. It applies to later messages.
func (a *API) Unblock(ctx context.Context, user schemas.UserID) error {
	return a.call(ctx, http.MethodDelete, "/blocks/"+url.PathEscape(string(user)), nil, nil)
}

func (a *API) call(ctx context.Context, method, path string, body, data any) error {
	resp, err := a.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decodeData(resp, data)
}

// do sends a request and returns a successful answer. The caller closes its body.
func (a *API) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	target, err := endpoint(a.URL, path)
	if err != nil {
		return nil, err
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("failed to encode the request: %w", err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", schemas.ContentType)
	}
	if a.key != "" && method == http.MethodPost {
		req.Header.Set(schemas.IdempotencyKeyHeader, a.key)
	}
	if a.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.Token)
	}
	client := a.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, answerError(resp)
	}
	return resp, nil
}

// decodeData reads the data of an answer into v, unless v is nil.
func decodeData(resp *http.Response, v any) error {
	if v == nil {
		return nil
	}
	var answer schemas.Answer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return fmt.Errorf("failed to read the server's answer: %w", err)
	}
	if err := json.Unmarshal(answer.Data, v); err != nil {
		return fmt.Errorf("failed to read the data of the server's answer: %w", err)
	}
	return nil
}

// answerError returns the error of an answer. If another program answered, for example a
// proxy, the code follows from the HTTP status.
func answerError(resp *http.Response) *schemas.Error {
	var answer schemas.Answer
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer)
	if err == nil && answer.Error != nil && answer.Error.Code != "" {
		return &schemas.Error{Code: answer.Error.Code, Message: answer.Error.Message, RetryAfterMS: answer.Error.RetryAfterMS}
	}
	code := schemas.CodeInternal
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		code = schemas.CodeUnauthenticated
	case resp.StatusCode == http.StatusForbidden:
		code = schemas.CodeForbidden
	case resp.StatusCode == http.StatusNotFound:
		code = schemas.CodeNotFound
	case resp.StatusCode == http.StatusTooManyRequests:
		code = schemas.CodeRateLimited
	case resp.StatusCode >= http.StatusInternalServerError:
		code = schemas.CodeUnavailable
	}
	return schemas.Errorf(code, "The answer, %s, is not from a Roost server. Check the URL.", resp.Status)
}
