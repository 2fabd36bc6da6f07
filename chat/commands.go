package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"roost/schemas"
)

// errQuit is the outcome of what ends a chat.
var errQuit = errors.New("quit")

// chatCommand is one thing to type. Its name has one word or two.
type chatCommand struct {
	name, args  string
	does        string
	least, most int // words behind the name; most < 0: any number
	run         func(*chat, context.Context, chatArgs) error
}

// chatArgs is what stands behind the name of a command.
type chatArgs struct {
	words []string
	text  string // the same as it was typed
}

type chatTopic struct {
	name     string
	commands []chatCommand
}

// chatTopics are all commands, as /help lists them.
func chatTopics() []chatTopic {
	return []chatTopic{
		{"Chats", chatCommands()},
		{"Messages", updateCommands()},
		{"Groups", groupCommands()},
		{"People", peopleCommands()},
		{"You", accountCommands()},
		{"Here", []chatCommand{
			{"/help", "", "this list", 0, 0, (*chat).help},
			{"/quit", "", "end the chat", 0, 0, func(*chat, context.Context, chatArgs) error { return errQuit }},
		}},
	}
}

// usage is the line of /help; it fits 80 columns.
func (k chatCommand) usage() string {
	return strings.TrimRight(fmt.Sprintf("  %-30s %s", strings.TrimSpace(k.name+" "+k.args), k.does), " ")
}

// findCommand gives the command that the line is, or an error that shows how it
// goes.
func findCommand(line string) (chatCommand, chatArgs, error) {
	first, rest := cutWord(line)
	second, text := cutWord(rest)
	var long, short *chatCommand
	var like []string
	for _, topic := range chatTopics() {
		for _, k := range topic.commands {
			head, _ := cutWord(k.name)
			if head == first {
				like = append(like, k.usage())
			}
			switch k.name {
			case first + " " + second:
				long = &k
			case first:
				short = &k
			}
		}
	}
	k := short
	if long != nil {
		k, rest, like = long, text, []string{long.usage()}
	}
	if k != nil {
		args := chatArgs{strings.Fields(rest), rest}
		if n := len(args.words); n >= k.least && (k.most < 0 || n <= k.most) {
			return *k, args, nil
		}
	}
	if len(like) == 0 {
		return chatCommand{}, chatArgs{}, fmt.Errorf("there is no %s; /help lists the commands", clean(first))
	}
	return chatCommand{}, chatArgs{}, fmt.Errorf("it goes like this:\n%s", strings.Join(like, "\n"))
}

// cutWord takes the first word off.
func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// typed does what a line asks for.
func (c *chat) typed(ctx context.Context, line string) error {
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.TrimSpace(line) == "":
		return nil
	case strings.HasPrefix(line, "//"):
		line = line[1:]
	case strings.HasPrefix(line, "/"):
		command, args, err := findCommand(line)
		if err == nil {
			err = command.run(c, ctx, args)
		}
		if err != nil && err != errQuit {
			c.screen.lines(explain(err).Error())
		}
		return err
	}
	if err := c.say(line, ""); err != nil {
		c.screen.line("%v", err)
	}
	return nil
}

// say hands a message to the sender.
func (c *chat) say(text string, replyTo schemas.MessageID) error {
	return c.hand(outgoing{text: text, replyTo: replyTo})
}

// hand gives the sender something for the open chat.
func (c *chat) hand(o outgoing) error {
	if participant(c.peer) == "" {
		return errors.New("nobody to write to; /to NAME comes first")
	}
	o.to = c.peer
	c.outgoing <- o
	c.unanswered++
	return nil
}

func (c *chat) help(context.Context, chatArgs) error {
	c.screen.line("A line goes to whom you write to. One that begins with // is sent with one /.")
	for _, topic := range chatTopics() {
		c.screen.line("%s", topic.name)
		for _, k := range topic.commands {
			c.screen.line("%s", k.usage())
		}
	}
	c.screen.line("Marks")
	c.screen.line("  ✓ the server has it safely     ✓✓ a device of another has it")
	c.screen.line("  ● read, and all before it      ✗ it was not sent")
	return nil
}
