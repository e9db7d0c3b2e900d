package tun

import (
	"github.com/sluicenet/sluice/link/internal/pages"
	"github.com/sluicenet/sluice/link/internal/tuntap"
)

const (
	devNetTun = tuntap.DevNetTun
	smallPage = pages.Small
	copyLimit = pages.CopyLimit
)

var setInterface = tuntap.SetInterface

func explainOpen(err error) error { return tuntap.ExplainOpen(tuntap.TUN, err) }

func explainAttach(err error, name string) error { return tuntap.ExplainAttach(tuntap.TUN, err, name) }
