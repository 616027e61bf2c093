package model

// The rules of DESIGN §6 that live in refresh.go and not in internal/decide, as
// the model performs them. The negative controls turn them off one by one.
const (
	memoryFirst    = true // look: the memory before the document (2)
	exclusive      = true // the guard and the owner's lock keep others out (3)
	lookUnderLock  = true // what was seen before the lock counts for nothing (4)
	recordFirst    = true // the attempt is recorded before the request (6)
	markFirst      = true // and marked before the first byte (7)
	checkLocks     = true // the locks are asked before the first byte (7)
	compareStored  = true // and the document is (7)
	durableFirst   = true // the answer is durable before anybody understands it (8)
	compareAndSwap = true // a save replaces what was seen and nothing else (9)
	learnFirst     = true // a grant is noted before its attempt is closed (10)
	forgetLogouts  = true // what is left of a login that its user ended goes (1)
	lastCounts     = true // spacing counts from the last request without an answer (12)
	heirNoted      = true // the history names the successor that a dead process saved (5)
)
