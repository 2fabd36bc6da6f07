package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"roost/client"
	"roost/client/clienttest"
	"roost/schemas"
)

// startServer starts a server for an example. It returns the URL, and a function that stops
// the server.
func startServer() (url string, end func()) {
	srv := clienttest.New()
	return srv.URL, srv.Close
}

// signUp creates an account and returns options for a new device of it.
func signUp(url string, user schemas.UserID) client.Options {
	ctx := context.Background()
	api := client.API{URL: url}
	if _, err := api.Register(ctx, user, "correct horse"); err != nil {
		log.Fatal(err)
	}
	token, err := api.Login(ctx, user, "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	api.Token = token.Token
	device, err := api.RegisterDevice(ctx, "laptop")
	if err != nil {
		log.Fatal(err)
	}
	return client.Options{URL: url, Token: token.Token, DeviceID: device.DeviceID}
}

// Two users, each with a device: alice sends a message, and bob's Ack gives her a receipt.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	url, end := startServer()
	defer end()

	bob, err := client.Connect(ctx, signUp(url, "bob"))
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	alice, err := client.Connect(ctx, signUp(url, "alice"))
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()

	if _, err := alice.Send(ctx, schemas.Participant{User: "bob"}, "Dinner at eight?", nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println("alice's message is safe")

	for done := false; !done; {
		ev, err := bob.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if m, ok := ev.(client.Message); ok {
			fmt.Printf("bob reads from %s: %s\n", m.SenderID, m.Content)
			done = m.Ack() == nil // after the message is stored, and not before
		}
	}
	for done := false; !done; {
		ev, err := alice.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if d, ok := ev.(client.Delivered); ok {
			fmt.Printf("alice knows that %s has it\n", d.UserID)
			done = true
		}
	}
	// Output:
	// alice's message is safe
	// bob reads from alice: Dinner at eight?
	// alice knows that bob has it
}

// One goroutine calls Receive all the time and handles the events that matter to it.
func ExampleClient_Receive() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	url, end := startServer()
	defer end()
	c, err := client.Connect(ctx, signUp(url, "alice"))
	if err != nil {
		log.Fatal(err)
	}

	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			ev, err := c.Receive(ctx)
			if errors.Is(err, client.ErrClosed) {
				return
			}
			if err != nil {
				log.Fatal(err) // for example a *client.CloseError after the device was removed
			}
			switch ev := ev.(type) {
			case client.Connected:
				fmt.Println("connected as", ev.UserID)
			case client.Drained:
				fmt.Println("nothing waited")
				_ = c.SubscribePresence([]schemas.UserID{"bob"})
				go c.Close()
			case client.Message:
				// Store it, then:
				if err := ev.Ack(); err != nil {
					log.Print(err) // Receive may return it again
				}
			}
		}
	}()
	<-finished
	// Output:
	// connected as alice
	// nothing waited
}

// If the server refuses a message, the error is a schemas.Error with a code.
func ExampleClient_Send() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	url, end := startServer()
	defer end()
	c, err := client.Connect(ctx, signUp(url, "alice"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Send(ctx, schemas.Participant{User: "nobody"}, "Hello?", nil)
	var refused *schemas.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code)
	}
	// Output: unknown_receiver
}

// The sender can edit a message. The receivers get an update.
func ExampleClient_Edit() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	url, end := startServer()
	defer end()
	alice, err := client.Connect(ctx, signUp(url, "alice"))
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	bob, err := client.Connect(ctx, signUp(url, "bob"))
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()

	toAlice, toBob := schemas.Participant{User: "alice"}, schemas.Participant{User: "bob"}
	sent, err := alice.Send(ctx, toBob, "Dinner at eight?", nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := alice.Edit(ctx, toBob, sent.MessageID, "Dinner at nine?"); err != nil {
		log.Fatal(err)
	}
	_, err = bob.Delete(ctx, toAlice, sent.MessageID)
	var refused *schemas.Error
	if errors.As(err, &refused) {
		fmt.Println("bob may not delete it:", refused.Code)
	}
	for done := false; !done; {
		ev, err := bob.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		switch ev := ev.(type) {
		case client.Message:
			fmt.Println("bob reads:", ev.Content)
			_ = ev.Ack()
		case client.MessageUpdate:
			fmt.Println("now it says:", ev.Content)
			done = ev.Ack() == nil
		}
	}
	// Output:
	// bob may not delete it: forbidden
	// bob reads: Dinner at eight?
	// now it says: Dinner at nine?
}

// After an unknown outcome, call Resend with the number of the send. Another Send would be
// another message.
func ExampleClient_Resend() {
	url, end := startServer()
	defer end()
	ctx := context.Background()
	alice := signUp(url, "alice")
	signUp(url, "bob")
	c, err := client.Connect(ctx, alice)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	impatient, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	received, err := c.Send(impatient, schemas.Participant{User: "bob"}, "Are you there?", nil)
	var unknown *client.UnknownOutcomeError
	if errors.As(err, &unknown) {
		received, err = c.Resend(ctx, unknown.Number)
	}
	fmt.Println(received.MessageIDByClient, err)
	// Output: 1 <nil>
}

// With a store, a program continues as the same device after a restart.
func ExampleFileStore() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	url, end := startServer()
	defer end()
	dir, err := os.MkdirTemp("", "roost")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	opts := signUp(url, "alice")
	opts.DeviceID, opts.DeviceName = "", "phone" // only the first start registers it
	opts.Store = client.FileStore(filepath.Join(dir, "alice.json"))
	var ids []schemas.DeviceID
	for range 2 {
		c, err := client.Connect(ctx, opts)
		if err != nil {
			log.Fatal(err)
		}
		ids = append(ids, c.Welcome().DeviceID)
		if err := c.Close(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("the same device:", ids[0] == ids[1])
	// Output: the same device: true
}
