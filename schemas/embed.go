package schemas

import "embed"

// JSON holds the JSON Schemas (2020-12) under json/: one file for each client
// frame, server frame, stored record and HTTP body, and what they share in ids,
// optional, frame and codes. The $id of a file is [SchemaBase] and its path
// below json/; no schema refers to anything outside of this tree.
//
//go:embed json
var JSON embed.FS

// SchemaBase is what the $id of every schema starts with. It is a name, not an
// address to fetch from.
const SchemaBase = "https://roost.example/schemas/"
