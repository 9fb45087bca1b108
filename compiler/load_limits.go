package compiler

// Limits on input. etcd refuses objects above 1.5 MiB by default, so no object
// of a real cluster comes near them; they keep a hostile file within seconds and
// 512 MB. A List that is read as a JSON stream has no limit of its own: each
// item is an object.
const (
	// maxDocument is the size in bytes of one YAML document, and of one string in
	// JSON.
	maxDocument = 16 << 20
	// maxValues is the number of values (scalars, lists, mappings, keys) in one
	// YAML document or JSON object, and of those visited when aliases are followed.
	maxValues = 2_000_000
	// maxDepth is how deep lists and mappings may nest.
	maxDepth = 200
	// maxObjectFindings is the number of problems reported for one object.
	maxObjectFindings = 10_000
	// maxPending is the number of values in items without a kind that are held
	// until the kind of their List is known.
	maxPending = 1_000_000
	// maxStdinKept is the size in bytes up to which standard input is kept for
	// [Input.SourceLine].
	maxStdinKept = 1 << 20
	// parseAhead is the size in bytes of the YAML documents that are parsed while
	// earlier ones are decoded, unless one alone is larger.
	parseAhead = 256 << 10
	// sniffSize is how many bytes are looked at to tell JSON from YAML.
	sniffSize = 1 << 20
)
