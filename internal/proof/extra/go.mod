module github.com/evercred/evercred/internal/proof/extra

go 1.26.0

replace github.com/evercred/evercred => ../../..

require github.com/evercred/evercred v0.0.0-00010101000000-000000000000

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.1.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)
