package faults

import "github.com/evercred/evercred/internal/proof/suite"

var controls = []suite.Control{
	{
		Rule: "an answer that cannot be written to its attempt is good all the same",
		Edits: []suite.Edit{{
			File: "refresh.go",
			Old:  "ferr != nil || x.err != nil {\n",
			New:  "ferr != nil || x.err != nil {\n		f.cause = errors.Join(ferr, x.err)\n		return decide.Event{Kind: decide.PrepareFailed}\n",
		}},
		Only: "again/window/pwrite64",
	},
	{
		Rule: "the answer goes into the attempt as it arrives",
		Edits: []suite.Edit{{
			File: "refresh.go",
			Old:  "x.f.record.Append(p); err != nil",
			New:  "error(nil); err != nil",
		}},
		Only: "again/strict/fdatasync/SIGKILL",
	},
	{
		Rule: "no grant before its attempt is on disk",
		Edits: []suite.Edit{{
			File: "internal/ledger/attempts.go",
			Old:  "	if err := f.Sync(); err != nil {\n		return err\n	}\n",
			New:  "	_ = f.Sync()\n",
		}},
		Only: "first/window/fsync",
	},
	{
		Rule: "no grant before the temporary file is prepared",
		Edits: []suite.Edit{{
			File: "filestore/save.go",
			Old:  "	return h.ready(f)\n",
			New:  "	_ = h.ready(f)\n	return nil\n",
		}},
		Only: "again/window/fallocate",
	},
	{
		Rule: "fsync before the rename",
		Edits: []suite.Edit{{
			File: "internal/durable/replace.go",
			Old:  "	if err := s.file.Sync(); err != nil {\n		return err\n	}\n",
			New:  "	_ = s.file.Sync()\n",
		}},
		Only: "again/strict/fsync",
	},
	{
		Rule: "a file that cannot be replaced is not written in place",
		Edits: []suite.Edit{{
			File: "internal/durable/replace.go",
			Old:  "	if err := s.disk.Rename(s.name, s.path); err != nil {\n",
			New:  "	if err := s.disk.Rename(s.name, s.path); err != nil {\n		_ = os.WriteFile(s.path, data, 0o600)\n",
		}},
		Only: "again/strict/renameat",
	},
	{
		Rule: "an attempt stays open until its answer is saved",
		Edits: []suite.Edit{{
			File: "refresh.go",
			Old:  "			f.serveUnsaved()\n			return\n",
			New:  "			f.closeAll(\"saved\", \"\")\n			f.serveUnsaved()\n			return\n",
		}},
		Only: "again/strict/renameat",
	},
	{
		Rule: "a call that was interrupted is made again",
		Edits: []suite.Edit{{
			File: "internal/fsys/os_linux.go",
			Old:  "		case errors.Is(err, unix.EINTR):\n			continue\n		case errors.Is(err, unix.EOPNOTSUPP)",
			New:  "		case errors.Is(err, unix.EOPNOTSUPP)",
		}},
		Only: "again/window/fallocate",
	},
	{
		Rule: "what a file system cannot do is done without",
		Edits: []suite.Edit{{
			File: "internal/durable/durable.go",
			Old:  "err != nil && !errors.Is(err, fsys.ErrUnsupported) {",
			New:  "err != nil {",
		}},
		Only: "link/strict/fallocate",
	},
}
