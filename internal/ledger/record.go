package ledger

import "encoding/json"

// maxRecord bounds what is read of a JSON record; real ones are below 4 KiB.
const maxRecord = 1 << 20

// decode reads a JSON record into v. A record that cannot be understood gives
// false and no error, because it must not stand in anybody's way; one of a newer
// version gives a NewerError (F11). After false v is not to be used.
func decode(path string, b []byte, v any) (bool, error) {
	var head struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(b, &head) != nil || head.Version < 1 {
		return false, nil
	}
	if head.Version > FormatVersion {
		return false, &NewerError{Have: head.Version, Know: FormatVersion, Path: path}
	}
	return json.Unmarshal(b, v) == nil, nil
}

// encode is decode's counterpart, one line.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}
