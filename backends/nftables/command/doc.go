// Package command reads the nft commands that artifacts are made of, and
// nothing else of nft's language. It shares no code with the emitter, so that what
// it accepts does not follow from what happens to be written.
//
// What it guarantees: a text that [Parse] accepts can do nothing but make,
// empty and fill chains, sets, maps, counters and one limit of table inet
// trafficpolicy whose names begin with "tp_". There is no include, no variable, no
// other table, no device, no hook but those of a filter, and no statement that
// touches a packet beyond counting, logging, dropping, passing or rejecting it.
//
// The grammar, one command a line, words separated by one space:
//
//	add table inet trafficpolicy
//	add chain inet trafficpolicy NAME
//	add chain inet trafficpolicy NAME { type filter hook HOOK priority INT; policy accept; }
//	add set   inet trafficpolicy NAME { type TYPE [. TYPE]; [size N;] [flags FLAG[,FLAG];] [timeout Ns;] }
//	add map   inet trafficpolicy NAME { type TYPE : verdict; [flags interval;] }
//	add counter inet trafficpolicy NAME
//	add limit inet trafficpolicy NAME { rate N/second burst N packets; }
//	add element inet trafficpolicy NAME { KEY [. KEY] [: VERDICT], ... }
//	add rule inet trafficpolicy CHAIN TERM ...
//	flush chain|map|set inet trafficpolicy NAME
//
//	TERM  = FIELD [. FIELD] [!= | >] VALUE | FIELD [. FIELD] @SET | FIELD vmap @MAP
//	      | counter name "NAME" | limit name "NAME"
//	      | log prefix "TEXT" group N snaplen N
//	      | update @SET { FIELD }
//	      | VERDICT | comment "TEXT"
//	VALUE = ATOM | { ATOM, ... }
//	VERDICT = accept | drop | return | goto CHAIN | jump CHAIN
//	      | reject with tcp reset | reject with icmpx type admin-prohibited
//
// [fields] lists every FIELD with what its values are.
package command
