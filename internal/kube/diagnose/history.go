package diagnose

import "time"

// ContainerHistory is what earlier observations of a container have shown. The zero value is that of a new container.
type ContainerHistory struct {
	WaitingReason string    // at the last observation
	FailedPulls   int       // image pulls that were seen to fail
	PullMessage   string    // of the last failed pull: the back-off after it often repeats no reason
	RunsWhenReady int32     // runs that had ended when the container was last ready; only later ones count against it
	LoopingSince  time.Time // when it was first seen to end repeatedly since it was last ready
	Run           int32     // number of its present run
	RunningSince  time.Time // when that run was first seen

	// RunsAtLastProgress is how many runs had ended when another object of the release was last seen to make progress, and
	// LastProgress when that was; zero: never.
	RunsAtLastProgress int32
	LastProgress       time.Time
}

// recordPull counts failing pulls. ErrImagePull is one; the back-off after it is not, but a back-off that is seen first implies
// one.
func (h *ContainerHistory) recordPull(found *Finding) {
	if h.WaitingReason != found.Reason {
		if isPullFailure(found.Reason) && (found.Reason == "ErrImagePull" || !isPullFailure(h.WaitingReason)) {
			h.FailedPulls++
		}
		h.WaitingReason = found.Reason
	}
	switch found.Reason {
	case "ErrImagePull", "RegistryUnavailable":
		h.PullMessage = found.Message
	case "ImagePullBackOff":
		if h.PullMessage != "" && !pullRefused.MatchString(found.Message) {
			found.Message = h.PullMessage
		}
	}
}

// PodHistory is the history of a pod's containers, by name.
type PodHistory map[string]ContainerHistory
