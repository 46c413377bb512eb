package pluginhost

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// pluginNetwork is how plugins listen on this system.
const pluginNetwork = "tcp"

// detach gives cmd a console group of its own. The job object that it is put
// into serves as lifeline.
func detach(cmd *exec.Cmd, _ *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// alone leaves cmd as it is: its context ends the process.
func alone(*exec.Cmd) {}

// procGroup is a job object: it holds the process with all its children, and ends
// them when its last handle is closed, be it by the broker's death.
type procGroup struct{ job windows.Handle }

func newProcGroup(p *os.Process) (procGroup, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return procGroup{}, os.NewSyscallError("CreateJobObject", err)
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{
			LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
		},
	}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		err = assign(job, p.Pid)
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return procGroup{}, err
	}
	return procGroup{job}, nil
}

func assign(job windows.Handle, pid int) error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer func() { _ = windows.CloseHandle(h) }()
	return os.NewSyscallError("AssignProcessToJobObject", windows.AssignProcessToJobObject(job, h))
}

// terminate has nobody to ask: Windows has no such signal.
func (g procGroup) terminate() { g.kill() }
func (g procGroup) kill()      { _ = windows.TerminateJobObject(g.job, 1) }
func (g procGroup) dump()      {}
func (g procGroup) close()     { _ = windows.CloseHandle(g.job) }

// awaitExit waits until p has exited; the handle that p holds keeps the
// identifier from being given to another.
func awaitExit(p *os.Process) { _, _ = p.Wait() }

func isBusy(err error) bool { return errors.Is(err, windows.ERROR_SHARING_VIOLATION) }

// exitSignal is always 0: Windows has no signals.
func exitSignal(*os.ProcessState) syscall.Signal { return 0 }
