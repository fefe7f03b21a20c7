package server

import (
	"fmt"
	"net"
	"net/http"
)

// AskHealth asks the gateway that listens at these addresses whether it serves: a container's health check, in an
// image that has nothing but the gateway. It takes little more than checkTimeout for each.
func AskHealth(addresses ...string) error {
	client := &http.Client{Timeout: checkTimeout + checkTimeout/4, Transport: &http.Transport{Proxy: nil}}
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		if host == "" { // all of the machine's addresses; Dial takes 0.0.0.0 and :: for this machine by itself
			host = "localhost"
		}
		reply, err := client.Get("http://" + net.JoinHostPort(host, port) + "/healthz")
		if err != nil {
			return err
		}
		_ = reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			return fmt.Errorf("the gateway at %s does not serve: it answered %s", address, reply.Status)
		}
	}
	return nil
}
