package fsys

import "golang.org/x/sys/unix"

// renameNoReplace: FreeBSD has no such call.
func renameNoReplace(string, string) error { return unix.ENOTSUP }

// Preallocate: posix_fallocate(2) would change the size.
func (f file) Preallocate(int64) error {
	return pathErr("preallocate", f.Name(), ErrUnsupported)
}

// copied reports whether an attribute is the user's: listxattr names no others.
func copied(string) bool { return true }

// required reports whether an attribute must not be lost.
func required(string) bool { return true }

// listxattr reads extattr_list_fd(2): names with a length byte before each.
func listxattr(fd int) ([]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.FlistxattrNS(fd, unix.EXTATTR_NAMESPACE_USER, buf)
	if err != nil {
		return nil, err
	}
	var names []string
	for list := buf[:n]; len(list) > 0; {
		end := min(1+int(list[0]), len(list))
		names = append(names, "user."+string(list[1:end]))
		list = list[end:]
	}
	return names, nil
}
