package cmd

import (
	"context"
	"errors"

	"roost/chat"
)

// Chat is `roost chat`.
type Chat struct {
	Server   string `help:"URL of the server." default:"http://127.0.0.1:8080" env:"ROOST_SERVER"`
	User     string `help:"Who you are." short:"u" required:"" env:"ROOST_USER" placeholder:"NAME"`
	Password string `help:"Asked for on a terminal; as a flag, other users of this machine can see it." env:"ROOST_PASSWORD"`
	Token    string `help:"Token of an external issuer, instead of a password." env:"ROOST_TOKEN"`
	Register bool   `help:"Make the account if there is none, without asking."`
	To       string `help:"User or group to write to at first." placeholder:"NAME"`
	Device   string `help:"Name of this device, by default that of the machine. A device of that name that you have already is taken over. A second one on this machine needs another --state as well." placeholder:"NAME"`
	State    string `help:"Folder for what this device has to remember, by default one a server and user in your configuration folder." placeholder:"DIR"`
}

// Help is shown by --help, below the first line.
func (Chat) Help() string {
	return "What you type is sent to whom you write to. Inside, /help lists the commands: groups, devices, " +
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
