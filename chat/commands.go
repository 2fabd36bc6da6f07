package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// errQuit is the outcome of a command that ends the chat.
var errQuit = errors.New("quit")

// command is a command that the user types. Its name has one word or two.
type command struct {
	name, args  string
	does        string
	least, most int // bounds of the words after the name; most < 0: no bound
	run         func(context.Context, args) error
}

// args are the words after the name of a command.
type args struct {
	words []string
	text  string // as the user typed them
}

// topic is a part of the command table.
type topic struct {
	name     string
	commands []command
}

// commandTable maps words to functions, in the order of /help.
type commandTable []topic

// usage returns the line of /help; it fits 80 columns.
func (k command) usage() string {
	return strings.TrimRight(fmt.Sprintf("  %-30s %s", strings.TrimSpace(k.name+" "+k.args), k.does), " ")
}

// find returns the command of a line, or an error that shows the usage.
func (t commandTable) find(line string) (command, args, error) {
	first, rest := cutWord(line)
	second, text := cutWord(rest)
	var long, short *command
	var usages []string
	for _, topic := range t {
		for _, k := range topic.commands {
			head, _ := cutWord(k.name)
			if head == first {
				usages = append(usages, k.usage())
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
		k, rest, usages = long, text, []string{long.usage()}
	}
	if k != nil {
		args := args{strings.Fields(rest), rest}
		if n := len(args.words); n >= k.least && (k.most < 0 || n <= k.most) {
			return *k, args, nil
		}
	}
	if len(usages) == 0 {
		return command{}, args{}, fmt.Errorf("there is no command %s; /help lists all", clean(first))
	}
	return command{}, args{}, fmt.Errorf("usage:\n%s", strings.Join(usages, "\n"))
}

// help shows all commands.
func (t commandTable) help(s *screen) {
	s.line("A line is sent to the open chat. A line that begins with // is sent with one /.")
	for _, topic := range t {
		s.line("%s", topic.name)
		for _, k := range topic.commands {
			s.line("%s", k.usage())
		}
	}
	s.line("Marks")
	s.line("  ✓ the server accepted it       ✓✓ a device of another user has it")
	s.line("  ● read, with all before it     ✗ it was not sent")
}
