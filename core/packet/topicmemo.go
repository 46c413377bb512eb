package packet

// maxMemoTopic is the longest topic that a topicMemo keeps.
const maxMemoTopic = 256

// topicMemo remembers the last few topics of a connection. Publishers repeat
// themselves: what is found here is known to be valid UTF-8 and needs no
// memory again.
type topicMemo struct {
	topics [4]string
	next   uint8 // which one to replace
}

// find returns the string equal to b.
func (m *topicMemo) find(b []byte) (string, bool) {
	for i := range m.topics {
		if m.topics[i] == string(b) {
			return m.topics[i], len(b) > 0
		}
	}
	return "", false
}

// add makes a string of b, which find does not know, and remembers it.
func (m *topicMemo) add(b []byte) string {
	s := string(b)
	if len(s) <= maxMemoTopic {
		m.topics[m.next] = s
		m.next = (m.next + 1) % uint8(len(m.topics))
	}
	return s
}
