package chat

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"roost/schemas"
)

// short cuts a text so that its row does not wrap.
func short(text string) string {
	const most = 30
	text, _, _ = strings.Cut(text, "\n")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// clean replaces the characters of a text that would command the terminal. It indents
// further lines, so that none of them passes for a message.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
	return strings.ReplaceAll(text, "\n", "\n    ")
}

// clock returns the local time of t, with the date unless that is today.
func clock(t schemas.Timestamp) string {
	local := t.Time().Local()
	if now := time.Now(); local.YearDay() == now.YearDay() && local.Year() == now.Year() {
		return local.Format("15:04")
	}
	return local.Format("2006-01-02 15:04")
}

func day(t schemas.Timestamp) string { return t.Time().Format("2006-01-02") }

// id returns the id of the user or the group; an empty one means no chat.
func id(p schemas.Participant) string { return string(p.User) + string(p.Group) }

// cutWord takes the first word off a text.
func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// disappearing says when messages of a chat disappear.
func disappearing(days int) string {
	switch days {
	case 0:
		return "stay"
	case 1:
		return "disappear after 1 day"
	}
	return fmt.Sprintf("disappear after %d days", days)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func roleName(r schemas.Role) string {
	switch r {
	case schemas.RoleOwner:
		return "the owner"
	case schemas.RoleAdmin:
		return "an admin"
	}
	return "a " + clean(string(r))
}

func joinUsers(users []schemas.UserID) string {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = clean(string(user))
	}
	return strings.Join(names, ", ")
}

func parseUsers(names []string) ([]schemas.UserID, error) {
	var users []schemas.UserID
	for _, name := range names {
		user, err := schemas.ParseUserID(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clean(name), err)
		}
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, nil
}

func parseOn(word string) (bool, error) {
	switch word {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, errors.New("say on or off")
}

// parseHistory returns for how many days history is stored.
func parseHistory(word string) (days *int, err error) {
	on, err := parseOn(word)
	days = new(int)
	if on {
		*days = schemas.HistoryDays
	}
	return days, err
}

// parseDays returns after how many days messages disappear.
func parseDays(word string) (days int, err error) {
	if word == "off" {
		return 0, nil
	}
	days, err = strconv.Atoi(word)
	if err != nil || days == 0 || !slices.Contains(schemas.DisappearingDays, days) {
		return 0, errors.New("say off, 1, 7 or 90")
	}
	return days, nil
}
