import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/** Runs one scenario: java Scenarios ADDRESS CLASS.METHOD.  It ends with 0 when all checks held. */
final class Scenarios {
	private Scenarios() {
	}

	public static void main(String[] arguments) throws Exception {
		Support.address = arguments[0];
		String[] name = arguments[1].split("\\.");
		Method method = Class.forName(name[0]).getDeclaredMethod(name[1]);
		if (!method.isAnnotationPresent(Scenario.class))
			throw new IllegalArgumentException("not a scenario: " + arguments[1]);
		try {
			method.invoke(null);
		} catch (InvocationTargetException error) {
			error.getCause().printStackTrace();
			System.exit(1);
		}
		System.out.println("passed " + arguments[1]);
		// A thread that a client has left behind must not count as passing.
		for (Thread thread : Thread.getAllStackTraces().keySet())
			Support.check(
				!thread.getName().startsWith("kafka-"), "left running: " + thread);
	}
}
