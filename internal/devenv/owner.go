package devenv

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the user that servers run as when this process is root: PostgreSQL
// refuses root, and a Redis has no use for it. A nil owner means ourselves.
type owner struct {
	name     string
	uid, gid uint32
}

// chooseOwner picks the user for a cluster with this data directory: the one
// that owns it already, else postgres, else nobody.
func chooseOwner(data string) (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if st, err := os.Stat(data); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 {
			o := &owner{name: "uid " + strconv.Itoa(int(sys.Uid)), uid: sys.Uid, gid: sys.Gid}
			if u, err := user.LookupId(strconv.Itoa(int(sys.Uid))); err == nil {
				o.name = u.Username
			}
			return o, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &owner{name, uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody to run it as")
}

func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

// own hands the file or directory at path to the owner.
func (o *owner) own(path string) error {
	if o == nil {
		return nil
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}

// reaches says why the owner cannot walk down to path, looking at each
// directory on the way, path included. A nil error means that it can.
func (o *owner) reaches(path string) error {
	if o == nil {
		return nil
	}
	if up := filepath.Dir(path); up != path {
		if err := o.reaches(up); err != nil {
			return err
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !o.mayEnter(st) {
		return fmt.Errorf("user %s, who runs PostgreSQL because it refuses root, cannot enter %s (%v); choose a directory that it can reach, such as one in /var/lib or /tmp",
			o.name, path, st.Mode())
	}
	return nil
}

func (o *owner) mayEnter(st fs.FileInfo) bool {
	bit := fs.FileMode(0o001)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		switch {
		case sys.Uid == o.uid:
			bit = 0o100
		case sys.Gid == o.gid:
			bit = 0o010
		}
	}
	return st.Mode()&bit != 0
}
