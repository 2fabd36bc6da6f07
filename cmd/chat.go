package cmd

import (
	"context"
	"errors"

	"roost/chat"
)

// Chat is `roost chat`.
type Chat struct {
	Server   string `help:"URL of the server." default:"http://127.0.0.1:8080" env:"ROOST_SERVER"`
	User     string `help:"Your user id." short:"u" required:"" env:"ROOST_USER" placeholder:"NAME"`
	Password string `help:"Your password; a terminal asks for it. As a flag, other users of this machine can see it." env:"ROOST_PASSWORD"`
	Token    string `help:"Token of an external issuer, instead of a password." env:"ROOST_TOKEN"`
	Register bool   `help:"Create the account if there is none, without asking."`
	To       string `help:"User or group whose chat is open at first." placeholder:"NAME"`
	Device   string `help:"Name of this device, by default that of the machine. It takes over your device of that name. A second device on this machine needs another --state too." placeholder:"NAME"`
	State    string `help:"Folder for the state of this device, by default one for each server and user in your configuration folder." placeholder:"DIR"`
}

// Help is shown by --help, below the first line.
func (Chat) Help() string {
	return "The lines that you type go to the open chat. /help lists the commands: groups, devices, " +
		"settings, blocks, presence, replies, edits, reactions, disappearing messages, history, export."
}

// Run chats on the terminal of the process.
func (c Chat) Run(ctx context.Context, p Process) error {
	err := chat.Run(ctx, chat.Options(c), p.Stdin, p.Stdout)
	var refused *chat.OptionsError
	if errors.As(err, &refused) {
		return cannotStart(err)
	}
	return err
}
