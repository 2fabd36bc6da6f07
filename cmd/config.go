package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// yamlConfig reads the file of --config. A name that is no flag is an error. The
// environment overrides the file.
func yamlConfig(r io.Reader) (kong.Resolver, error) {
	values := make(map[string]any)
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the configuration file is not YAML: %w", err)
	}
	return &fileResolver{values}, nil
}

type fileResolver struct{ values map[string]any }

// Validate implements [kong.Resolver]: it names an unknown setting.
func (f *fileResolver) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	names := make([]string, 0, len(f.values))
	for name := range f.values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !known[name] {
			return fmt.Errorf("the configuration file has an unknown setting %q", name)
		}
	}
	return nil
}

// Resolve implements [kong.Resolver].
func (f *fileResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Value.Tag.Has("env") && envIsSet(flag.Envs) {
		return nil, nil
	}
	v, ok := f.values[flag.Name]
	if !ok {
		return nil, nil
	}
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i, item := range list {
			parts[i] = fmt.Sprint(item)
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(v), nil
}

// Config prints the settings of serve as a file that --config reads.
type Config struct{ serveFlags }

func (c Config) Run(ctx context.Context, p Process) error {
	settings, err := yaml.Marshal(flagValues(reflect.ValueOf(c.serveFlags)))
	if err != nil {
		return fmt.Errorf("failed to print the configuration: %w", err)
	}
	_, err = p.Stdout.Write(settings)
	return err
}

// flagValues lists the flags of a struct by name, embedded structs included.
func flagValues(v reflect.Value) map[string]any {
	values := make(map[string]any)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			for name, value := range flagValues(v.Field(i)) {
				values[name] = value
			}
			continue
		}
		name := field.Tag.Get("name")
		if name == "" {
			name = dashed(field.Name)
		}
		value := v.Field(i).Interface()
		switch text := value.(type) {
		case string:
			value = masked(text)
		case time.Duration:
			value = text.String()
		}
		values[name] = value
	}
	return values
}

// masked hides the password of a URI.
func masked(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	if _, ok := u.User.Password(); !ok {
		return text
	}
	u.User = url.UserPassword(u.User.Username(), "xxxxx")
	return u.String()
}

// maskedList is masked for comma-separated URLs.
func maskedList(list string) string {
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = masked(parts[i])
	}
	return strings.Join(parts, ",")
}

// dashed turns a field's name into a flag's: InboxMaxAge into inbox-max-age.
func dashed(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func envIsSet(names []string) bool {
	for _, name := range names {
		if _, ok := os.LookupEnv(name); ok {
			return true
		}
	}
	return false
}
