// Command base is what `evercred token` is measured against: a program that
// links net/http and only reads and prints the file.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		http.Get("http://127.0.0.1:1/") // never taken; it keeps net/http's client linked
		return
	}
	doc, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var v struct {
		ClaudeAiOauth struct{ AccessToken string }
	}
	if err := json.Unmarshal(doc, &v); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(v.ClaudeAiOauth.AccessToken)
}
