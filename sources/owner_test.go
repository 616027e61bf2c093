package sources_test

const (
	modeVar  = "EVERCRED_TEST_OWNER"
	childVar = "EVERCRED_TEST_CHILD"
)

func isOwner() bool { return false }
func owner() int    { return 0 }
func child() int    { return 0 }
