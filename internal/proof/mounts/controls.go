package mounts

import "github.com/evercred/evercred/internal/proof/suite"

var controls = []suite.Control{
	{
		Rule: "no grant before the space for its answer and for the new document is reserved",
		Edits: []suite.Edit{
			{File: "internal/ledger/attempts.go", Old: "	err := f.Preallocate(reserve)\n", New: "	var err error\n"},
			{File: "internal/durable/durable.go", Old: "err := f.Preallocate(size); err != nil", New: "err := error(nil); err != nil"},
		},
		Only: "tmpfs with 64 KB free",
	},
	{
		Rule: "a file that alone is a mount point is written only if that is allowed",
		Edits: []suite.Edit{{
			File: "filestore/save.go",
			Old:  "fileMount(info, dir) && !s.opts.AllowFileMount:",
			New:  "fileMount(info, dir) && !s.opts.AllowFileMount && s.disk == nil:",
		}},
		Only: "file bound",
	},
	{
		Rule: "a mount point is recognised",
		Edits: []suite.Edit{{
			File: "internal/fsys/os_linux.go",
			Old:  "i.MountRoot = st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0",
			New:  "i.MountRoot = false",
		}},
		Only: "file bound, allowed",
	},
	{
		Rule: "no grant for a file that cannot be written",
		Edits: []suite.Edit{{
			File: "filestore/save.go",
			Old:  "	if err := h.replaceable(info); err != nil {\n		return nil, err\n	}\n",
			New:  "	_ = h.replaceable(info)\n",
		}},
		Only: "immutable file",
	},
	{
		Rule: "what is made is the directory's owner's",
		Edits: []suite.Edit{{
			File: "internal/ledger/owner.go",
			Old:  "if err := chown(); err != nil && i.UID != d.owner.UID {",
			New:  "if err := error(nil); err != nil {",
		}},
		Only: "root in a user's directory",
	},
	{
		Rule: "the new document is the old one's owner's",
		Edits: []suite.Edit{{
			File: "internal/durable/replace.go",
			Old:  "		err := s.file.Chown(want.UID, want.GID)\n",
			New:  "		var err error\n",
		}},
		Only: "root in a user's directory",
	},
	{
		Rule: "nothing is left where it cannot be given to the directory's owner",
		Edits: []suite.Edit{{
			File: "internal/ledger/owner.go",
			Old:  "	if i.UID != d.owner.UID {\n",
			New:  "	if false {\n",
		}, {
			File: "internal/ledger/owner.go",
			Old:  "		return &OwnerError{Path: path, Have: i.UID, Want: d.owner.UID, Err: err}\n",
			New:  "		return nil\n",
		}},
		Only: "a directory that anybody may write to",
	},
	{
		Rule: "the second of the owner's locks may be missing",
		Edits: []suite.Edit{{
			File: "owner/claudecode/lock.go",
			Old:  "Stale: l.seams.Times.StaleAge, Optional: true}",
			New:  "Stale: l.seams.Times.StaleAge}",
		}},
		Only: "directory bound into a read-only one",
	},
}
