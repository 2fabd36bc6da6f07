package schemas

import "embed"

// JSON holds the JSON Schemas (2020-12) under json/. Each client frame, server frame, stored
// record and HTTP body has a file. The files ids, optional, frame and codes have the shared
// parts. The $id of a file is [SchemaBase] and its path below json/. No schema refers to a
// file outside this tree.
//
//go:embed json
var JSON embed.FS

// SchemaBase is the prefix of the $id of every schema. It is a name, and no server answers
// at this address.
const SchemaBase = "https://roost.example/schemas/"
